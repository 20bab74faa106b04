"""The command line: `python -m qinsight calibrate`, and the flags by which other commands say how sure they are."""

import argparse
import statistics
from pathlib import Path
from typing import Any

from qinsight.engines.checkpoint import PREVIEW
from qinsight.errors import QInsightError
from qinsight.flags import add_model_flags, open_engine
from qinsight.requests import About, Sampling
from qinsight.terminal import counted, say, show_step
from qinsight.trust.calibrate import Heard, calibrated, hear, tried
from qinsight.trust.calibration import FILE, LEAST, Calibration, write
from qinsight.trust.confidence import calibration_for
from qinsight.trust.labels import read_labels


def add_calibrate(commands: Any) -> None:
    """The flags of `calibrate`, for the parser of all commands."""
    command = commands.add_parser(
        "calibrate",
        help="learn from labelled photos how far a model's answers can be trusted",
        description="Asks about photos that people have rated, and writes how far from their labels the ratings are.",
        epilog="Exit codes: 0 written, 1 the model could not be run or there is too little to go by, 2 bad usage.",
        allow_abbrev=False,
    )
    words = "JSON lines as `python -m training.data` writes them, a CSV with photo and mos or stars, or a folder whose XMP holds your stars"
    command.add_argument("labels", type=Path, metavar="LABELS", help=words)
    command.add_argument(
        "--photos", type=Path, metavar="ROOT", help="where the photos are; default: beside LABELS"
    )
    words = f"default: {FILE} beside the model, where it is a folder"
    command.add_argument("--out", type=Path, metavar="FILE", help=words)
    words = "what photographs it holds for, in words; default: their number and LABELS"
    command.add_argument("--holds-for", metavar="WORDS", help=words)
    add_model_flags(command)
    command.set_defaults(run=calibrate)


def add_calibration_flag(command: argparse.ArgumentParser) -> None:
    """Which calibration a command goes by."""
    words = "what `calibrate` wrote; default: the one beside the model, where it is of these weights and this size"
    command.add_argument("--calibration", type=Path, metavar="FILE", help=words)


def chosen_calibration(options: argparse.Namespace, about: About) -> Calibration | None:
    """The calibration that the flags name, or that stands beside the model; one's own penalty or order has none."""
    unusual = options.repetition_penalty or options.order or options.max_new_tokens != _USUAL_TOKENS
    if unusual and options.calibration is None:
        return None
    return calibration_for(about.at(options.max_pixels), options.model, options.calibration)


def calibrate(options: argparse.Namespace) -> int:
    """Ask about the labelled photos, write the calibration, and say what it is worth."""
    labels = read_labels(options.labels, options.photos)
    if len(labels) < LEAST:
        raise QInsightError(
            "Expected at least {least} labelled photographs in {place}, got {number}; of fewer, no interval is honest.",
            least=LEAST,
            place=options.labels,
            number=len(labels),
        )
    out = _place(options)
    engine = open_engine(options, show_step)
    sampling = Sampling(options.max_new_tokens, repetition_penalty=options.repetition_penalty)
    heard = Heard()
    with counted("calibrate", "photos", logged=True) as progress:
        for heard in hear(engine, labels, sampling=sampling, max_pixels=options.max_pixels):
            progress(heard.done, len(labels))
    for why in heard.left:
        say(why)
    holds_for = options.holds_for or f"{len(labels)} photographs labelled in {options.labels.name}"
    found = calibrated(engine, heard, holds_for, options.max_pixels)
    write(found, out)
    _say_worth(found, heard)
    say(f"Written: {out}")
    return 0


_USUAL_TOKENS = 1024


def _place(options: argparse.Namespace) -> Path:
    folder = PREVIEW if options.model == "preview" else Path(options.model).expanduser()
    if options.out is None and (options.endpoint or not folder.is_dir()):
        raise QInsightError(
            "Expected --out FILE: {model} is no folder of weights beside which a calibration could stand.",
            model=options.endpoint or options.model,
        )
    place: Path = options.out or folder / FILE
    if place.is_dir() or not place.parent.is_dir():
        raise QInsightError(
            "Expected the name of a file in a folder that is there, got {place}.", place=place
        )
    return place


def _say_worth(found: Calibration, heard: Heard) -> None:
    widths = [
        high - low for low, high in (found.interval(point.expected, point.spread) for point in found.points)
    ]
    say(
        f"{len(found.points)} photographs; nine times in ten: intervals {statistics.median(widths):.2f} wide in the middle.",
        result=True,
    )
    if halves := tried(found, heard.sources):
        covered, wide = zip(*halves, strict=True)
        say(
            f"On the other half, over {len(halves)} halves: {statistics.fmean(covered):.3f} covered "
            f"({min(covered):.3f} to {max(covered):.3f}), median width {statistics.fmean(wide):.2f}.",
            result=True,
        )
    for name, (right, named) in sorted(found.classes.items()):
        say(f"{name}: right {right} of {named} times", result=True)

"""The command line: `python -m qinsight score | diagnose | compare | rank` and more; `--help` names all."""

from qinsight.stopping import stop_with_a_line

if __name__ == "__main__":
    stop_with_a_line()  # before what takes long is imported

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from qinsight.assess import MOST_SAMPLES, Asked, ask, comparison, reading_of, samples
from qinsight.check.command import add_command as add_check
from qinsight.check.named import Named, add_passport_flag, chosen_passport
from qinsight.engines.checkpoint import Device
from qinsight.engines.gguf_header import Type
from qinsight.engines.made_by import MadeBy, as_shown, made_by_all
from qinsight.errors import PhotoError, QInsightError
from qinsight.flags import add_model_flags, open_engine, positive
from qinsight.photos import read_photo
from qinsight.photos.listing import Found, look
from qinsight.prompts import Task
from qinsight.ranking.folder import rank_folder, ranking
from qinsight.ranking.rows import Row, of_each_file
from qinsight.ranking.xmp import STARS, check_stars
from qinsight.report import report
from qinsight.requests import BATCH, Engine, Reading, Request, Sampling, Stage
from qinsight.terminal import at_a_terminal, counted, end_step, say, show_step
from qinsight.trust.audit_command import add_command as add_audit
from qinsight.trust.order import Orders, in_both_orders
from qinsight.trust.places import add_command as add_places
from qinsight.trust.replay import add_command as add_replay
from qinsight.trust.tournament_command import add_command as add_tournament

if TYPE_CHECKING:
    from qinsight.trust.claims import Reasons
from qinsight.trust.calibration import Calibration
from qinsight.trust.commands import add_calibrate, add_calibration_flag, chosen_calibration
from qinsight.trust.confidence import FIELD, confidence, noted, with_confidence
from qinsight.trust.triage import check_bound, triage

ANSWERED, FAILED, MISUSED, UNREADABLE_ANSWER, UNREADABLE_PHOTO, UNWRITTEN = 0, 1, 2, 3, 4, 6


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, or 1 failed, 2 bad usage, 3 unreadable answer, 4 unreadable photo."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except QInsightError as error:
        say(f"qinsight: {error}")
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m qinsight",
        description="Ask Q-Insight about photos: how good, what is wrong, which is better.",
        epilog="Exit codes: 0 answered, 1 the model could not be run, 2 bad usage, 3 an answer could not be "
        "read, 4 a photo could not be read, 6 a sidecar or the copy of a pick could not be written.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True)
    for name, task, words in (
        ("score", Task.SCORE, "rate photos from 1 (very poor) to 5 (excellent)"),
        ("diagnose", Task.DEGRADATION, "name the degradation of photos and its severity"),
    ):
        command = _command(commands, name, words)
        command.add_argument("photos", nargs="+", metavar="PHOTO", help="image files")
        beside = "say of each claim in the reasoning whether the pixels support it; of samples, of the first"
        command.add_argument("--check-reasons", action="store_true", help=beside)
        add_calibration_flag(command)
        command.set_defaults(run=_each_photo, task=task)
    command = _command(commands, "compare", "say which of two photos is better")
    command.add_argument("photos", nargs=2, metavar="PHOTO", help="photo A and photo B")
    command.add_argument("--reference", metavar="PHOTO", help="the low-quality photo that A and B improve on")
    command.set_defaults(run=_compare)
    _rank_command(commands)
    command = commands.add_parser("quantize", help="write a 4-bit (NF4) copy of a model", allow_abbrev=False)
    command.add_argument("model", metavar="MODEL", help="a folder or a hub id")
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a folder that does not exist yet"
    )
    command.add_argument("--device", choices=[*Device], type=Device, default=Device.AUTO)
    command.set_defaults(run=_quantize)
    command = commands.add_parser(
        "convert", help="write a copy of a model for llama.cpp (GGUF)", allow_abbrev=False
    )
    command.add_argument("model", metavar="MODEL", help="a folder, a hub id, or preview")
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a folder that does not exist yet"
    )
    words = "how the weights are held; default: q8_0"
    command.add_argument("--type", choices=[*Type], type=Type, default=Type.Q8_0, help=words)
    command.set_defaults(run=_convert)
    add_check(commands)
    add_replay(commands)
    add_places(commands)
    add_tournament(commands)
    add_audit(commands)
    add_calibrate(commands)
    commands.metavar = " | ".join(commands.choices)
    return parser


def _command(commands: Any, name: str, words: str) -> argparse.ArgumentParser:
    command = _asking_command(commands, name, words)
    add = command.add_argument
    words = (
        f"ask K times, at most {MOST_SAMPLES}, the photo looked at once; report mean, spread and histogram"
    )
    add("--samples", type=_samples, default=1, metavar="K", help=words)
    add("--temperature", type=_temperature, metavar="T", help="default: 0 (greedy), with --samples 1.0")
    add("--seed", type=_seed, default=42, metavar="N", help="of the samples; default: 42")
    return command


def _rank_command(commands: Any) -> None:
    command = _asking_command(commands, "rank", "rate and diagnose every photo of a folder; resumes")
    add = command.add_argument
    add("folder", type=Path, metavar="FOLDER", help="photos in it and below it")
    add("--out", type=Path, required=True, metavar="DIR", help="results, ranking and contact sheet go here")
    words = f"photos asked together; default: {BATCH}, on a GPU what it has room for, of a server as many as it is to have at a time"
    add("--batch", type=positive, metavar="N", help=words)
    words = (
        "XMP sidecars beside the photos (default), or mirrored below DIR; embed: inside JPEGs, beside others"
    )
    add("--xmp", type=_named, nargs="?", const="beside", metavar="beside|embed|DIR", help=words)
    add("--xmp-names", choices=["full", "stem"], default="full", help="IMG.CR2.xmp (default) or IMG.xmp")
    add(
        "--stars",
        type=_stars,
        default=STARS,
        metavar="A,B,C,D",
        help="ratings from which 2, 3, 4, 5 stars are given",
    )
    words = "leave the stars that a person gave (default), or replace and remember them"
    add("--keep-ratings", action=argparse.BooleanOptionalAction, default=True, help=words)
    add("--xmp-caption", action="store_true", help="the reasoning as caption of photos that have none")
    add("--reject-below", type=_finite, metavar="R", help="rating below which a photo is marked as rejected")
    words = "copy the best of each burst and what stands alone, RAW and sidecars too, but nothing rejected"
    add("--copy-picks", type=_named, metavar="DIR", help=words)
    add_calibration_flag(command)
    add_passport_flag(command)
    words = "accept and reject photos where at most this share of either is wrong, and say which to look at"
    add("--at-most-wrong", type=_finite, metavar="SHARE", help=words)
    add("--good-from", type=_finite, metavar="R", help="the rating from which a photo is to be accepted")
    command.set_defaults(run=_rank)


def _asking_command(commands: Any, name: str, words: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=words, allow_abbrev=False)
    command.add_argument("--json", action="store_true", help="print one JSON object per photo")
    add_model_flags(command)
    return command


def _stars(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
        check_stars(found)
    except (ValueError, QInsightError):
        raise argparse.ArgumentTypeError(
            f"expected four rising ratings such as {','.join(map(str, STARS))}; got {text!r}"
        ) from None
    return found


def _named(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("expected the name of a folder, got nothing")
    return text


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number such as 2.5, got {text!r}")
    return value


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value != 0 and not 1e-6 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected 0, or a number from 1e-6 to 100, got {text!r}")
    return value


def _samples(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_SAMPLES:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST_SAMPLES}, got {text!r}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or not int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {2**32 - 1}, got {text!r}")
    return int(text)


def _each_photo(options: argparse.Namespace) -> int:
    sampling = _sampling(options)
    engine: Engine | None = None
    known: Calibration | None = None
    code = ANSWERED
    for path in options.photos:
        try:
            photo = _read(path)
        except PhotoError as error:
            code = UNREADABLE_PHOTO
            _report(options, options.task, {"photo": path}, [], engine, str(error))
            continue
        if engine is None:  # a rubbish file is told before a model is loaded
            engine = _engine(options)
            known = chosen_calibration(options, engine.about)
        requests = _shown(engine, options, samples(photo, options.task, options.samples))
        asked = _watch(ask(engine, requests, sampling, max_pixels=options.max_pixels))
        made = _made_by(engine, options, requests, sampling)
        reasons = _reasons(asked[0], requests[0].photos[0]) if options.check_reasons else None
        sure = confidence(known, asked[0]) if sampling.temperature == 0 else None
        if not _report(
            options, options.task, {"photo": path}, asked, engine, made=made, reasons=reasons, sure=sure
        ):
            code = max(code, UNREADABLE_ANSWER)
    return code


def _reasons(asked: Asked, shown: Image.Image) -> "Reasons":
    from qinsight.trust.claims import check_reasons

    return check_reasons(asked.reply.thinking, shown)


def _compare(options: argparse.Namespace) -> int:
    sampling = _sampling(options)
    names = {"photo": options.photos[0], "other": options.photos[1]}
    if options.reference:
        names["reference"] = options.reference
    photos = {}
    for role, path in names.items():
        try:
            photos[role] = _read(path)
        except PhotoError as error:
            _report(options, Task.COMPARISON, names, [], None, f"{path}: {error}")
            return UNREADABLE_PHOTO
    engine = _engine(options)
    pairs = comparison(photos["photo"], photos["other"], photos.get("reference"))
    requests = _shown(engine, options, pairs) * options.samples
    asked = _watch(ask(engine, requests, sampling, max_pixels=options.max_pixels))
    made = _made_by(engine, options, requests, sampling)
    answered = _report(options, Task.COMPARISON, names, asked, engine, made=made)
    if not options.reference:
        say(Orders.of(asked).sentence())
    return ANSWERED if answered else UNREADABLE_ANSWER


def _shown(engine: Engine, options: argparse.Namespace, requests: Sequence[Request]) -> list[Request]:
    """The same questions about what the model is shown of the photos, made once for asking and for hashing."""
    return as_shown(requests, engine.about.at(options.max_pixels).max_pixels)


def _made_by(
    engine: Engine, options: argparse.Namespace, requests: Sequence[Request], sampling: Sampling
) -> MadeBy | None:
    if not options.json:
        return None
    return made_by_all(engine.about, requests, sampling, options.max_pixels)


def _read(path: str) -> Image.Image:
    photo = read_photo(path)
    for remark in photo.notes:
        say(f"{path}: {remark}")
    return photo.image


def _rank(options: argparse.Namespace) -> int:
    found = _check_rank(options)  # an empty folder, too, is told before a model is loaded
    if found.left_out:
        say(found.sentence())
    engine = _engine(options)
    known = chosen_calibration(options, engine.about)
    judge = _judge(options, known, engine.about.name)
    passport = chosen_passport(options, engine.about)
    code = ANSWERED
    run = rank_folder(
        engine,
        options.folder,
        options.out,
        sampling=Sampling(options.max_new_tokens, repetition_penalty=options.repetition_penalty),
        max_pixels=options.max_pixels,
        batch=options.batch,
        found=found,
    )
    with counted("rank", "photos") as progress:
        for state in run:
            row = state.row
            if row is not None and row.error:
                unreadable = row.expected_rating is None and row.thinking is None
                code = max(code, UNREADABLE_PHOTO if unreadable else UNREADABLE_ANSWER)
                say(f"{row.photo}: {row.error}")
            if row is not None and options.json:
                line = judge(row).as_json()
                _print(json.dumps(line, ensure_ascii=False), json.dumps(line))
            progress(state.done, state.total, state.done - state.asked)
    return max(code, _export(options, found, judge, known.holds_for if known else "", passport))


Judge = Callable[[Row], Row]


def _judge(options: argparse.Namespace, known: Calibration | None, model: str) -> Judge:
    """What the app adds to a row; a bound without a calibration is refused before anything is rated."""
    if options.at_most_wrong is None:
        return lambda row: with_confidence(row, known)
    if known is None:
        raise QInsightError(
            "Expected a calibration of {model} with --at-most-wrong, found none; `python -m qinsight calibrate "
            "LABELS` makes one from photos that you have rated.",
            model=model,
        )
    heaps = triage(known, options.at_most_wrong, options.good_from)
    for heap, least in (("accept", heaps.above), ("reject", heaps.below)):
        if math.isinf(least):
            say(f"The calibration shows no photos that are surely enough to {heap}; there will be none.")
    say(f"The bound holds for {known.holds_for}.")
    return lambda row: with_confidence(row, known, heaps)


def _check_rank(options: argparse.Namespace) -> Found:
    from qinsight.ranking.picks import check_place
    from qinsight.ranking.tables import check_folder

    if options.xmp_caption and not options.xmp:
        say("qinsight: expected --xmp with --xmp-caption, got none.")
        raise SystemExit(MISUSED)
    if (options.at_most_wrong is None) != (options.good_from is None):
        say("qinsight: expected --at-most-wrong SHARE and --good-from R together, got one of them.")
        raise SystemExit(MISUSED)
    if options.at_most_wrong is not None:
        check_bound(options.at_most_wrong, options.good_from)
    found = look(options.folder, options.out)
    check_folder(options.out, "results")
    if options.xmp not in (None, "beside", "embed"):
        check_folder(Path(options.xmp), "sidecars")
    if options.copy_picks:
        names = [name for frame in found.frames for name in frame]
        check_place(Path(options.copy_picks), options.folder, names)
    return found


def _export(
    options: argparse.Namespace, found: Found, judge: Judge, holds_for: str, passport: Named | None
) -> int:
    """Everything that was asked for beside the ratings; the exit code that it earns."""
    from qinsight.ranking.exports import write_exports

    rows = [judge(row) for row in ranking(options.out, found.frames)]
    if passport is not None:
        rows = list(passport.beside(rows))
        say(f"How the model is served, by its passport: {passport.sentence}.")
    note = noted(found.sentence(), holds_for)
    *first, last = [path.name for path in write_exports(rows, options.out, options.folder, note)]
    say(f"Written: {', '.join(first)} and {last} in {options.out}")
    if options.at_most_wrong is not None:
        heaps = Counter(row.app_heap for row in rows if row.app_heap)
        say(f"To accept: {heaps['accept']}, to reject: {heaps['reject']}, to look at: {heaps['look']}.")
    failures = _write_xmp(options, rows) if options.xmp else []
    failures += _copy_picks(options, rows) if options.copy_picks else []
    return UNWRITTEN if failures else ANSWERED


def _write_xmp(options: argparse.Namespace, rows: Sequence[Row]) -> list[str]:
    """Why some could not be written."""
    from qinsight.ranking.embedding import embed, is_jpeg
    from qinsight.ranking.sidecars import has_sidecar, write_sidecars

    how = {
        "stars": options.stars,
        "reject_below": options.reject_below,
        "keep_ratings": options.keep_ratings,
        "caption": options.xmp_caption,
    }
    files = list(of_each_file(rows, raw_only=options.xmp_names == "stem"))
    failures: list[str] = []
    if options.xmp == "embed":
        inside, failures = embed(of_each_file(rows), options.folder, **how)
        _say_written(f"{len(inside)} XMP packets in JPEGs", failures)
        # A JPEG that has a sidecar keeps it: darktable and digiKam believe it more than the file.
        files = [row for row in files if not is_jpeg(row.photo) or has_sidecar(row, options.folder)]
    out = None if options.xmp in ("beside", "embed") else Path(options.xmp)
    written, others = write_sidecars(files, options.folder, out=out, naming=options.xmp_names, **how)
    _say_written(f"{len(written)} XMP sidecars", others)
    return [*failures, *others]


def _copy_picks(options: argparse.Namespace, rows: Sequence[Row]) -> list[str]:
    """Why some could not be copied."""
    from qinsight.ranking.picks import copy_picks

    place = Path(options.copy_picks)
    picks = copy_picks(rows, options.folder, place, reject_below=options.reject_below)
    _say_written(f"{picks.frames} picked frames, {len(picks.copied)} files in {place}", picks.failures)
    return [*picks.failures]


def _say_written(what: str, failures: Sequence[str]) -> None:
    say(f"Written: {what}")
    for failure in failures:
        say(failure)


def _quantize(options: argparse.Namespace) -> int:
    from qinsight.engines.weights import quantize  # torch, only now

    return _told_sizes(quantize(options.model, options.out, options.device, show_step))


def _convert(options: argparse.Namespace) -> int:
    from qinsight.engines.convert import convert

    return _told_sizes(convert(options.model, options.out, options.type, show_step))


def _told_sizes(folders: Sequence[Path]) -> int:
    for folder in folders:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        _print(f"{folder}  {size / 1e6:.1f} MB")
    return ANSWERED


def _engine(options: argparse.Namespace) -> Engine:
    engine = open_engine(options, show_step)
    if engine.about.idle_gpu:
        say(f"A GPU was expected and could not be used because {engine.about.idle_gpu}.")
    if engine.about.advice:
        say(engine.about.advice)
    return engine


def _sampling(options: argparse.Namespace) -> Sampling:
    temperature = options.temperature
    if temperature is None:
        temperature = 1.0 if options.samples > 1 else 0.0
    if options.samples > 1 and temperature == 0:
        say("qinsight: expected a --temperature above 0 with --samples; greedy samples are all the same.")
        raise SystemExit(MISUSED)
    penalty = options.repetition_penalty
    return Sampling(options.max_new_tokens, temperature, seed=options.seed, repetition_penalty=penalty)


def _watch(states: Iterator[tuple[Asked, ...]]) -> tuple[Asked, ...]:
    """Run to the end; on a terminal the thinking of the first reply is shown as it comes."""
    shown = 0
    state: tuple[Asked, ...] = ()
    far: Reading | None = None
    for state in states:
        before, far = far, reading_of(state)
        if far is not None:
            show_step(_how_far(far), far.share, "reading")
        elif before is not None:
            end_step()
        if sys.stderr.isatty():
            thinking = state[0].reply.thinking
            sys.stderr.write(thinking[shown:])
            sys.stderr.flush()
            shown = len(thinking)
    if shown:
        sys.stderr.write("\n")
    return state


def _how_far(reading: Reading) -> str:
    doing = {Stage.LOOKING: "Looking at the photo", Stage.READING: "Reading"}[reading.stage]
    left = "" if reading.seconds_left is None else f", about {max(1, reading.seconds_left):.0f} s left"
    return f"{doing}: layer {reading.layer} of {reading.layers}{left}"


def _report(
    options: argparse.Namespace,
    task: Task,
    names: dict[str, str],
    asked: Sequence[Asked],
    engine: Engine | None,
    error: str | None = None,
    made: MadeBy | None = None,
    reasons: "Reasons | None" = None,
    sure: dict[str, Any] | None = None,
) -> bool:
    """Print what came, as a line of JSON or of words; True where there is an answer."""
    line = report(task, names, asked, engine.about.name if engine else None, error, made)
    line |= in_both_orders(task, names, asked)
    if sure:
        line[FIELD] = sure
    if options.json:
        line |= {} if reasons is None else {"reasons": reasons.as_json()}
        _print(json.dumps(line, ensure_ascii=False), json.dumps(line))
    else:
        _print_words(task, names, line)
        for remark in reasons.lines if reasons else []:
            _print(f"    {remark}")
    return line["error"] is None


def _print_words(task: Task, names: dict[str, str], result: dict[str, Any]) -> None:
    name = " | ".join(names.values())
    if result["error"]:
        say(f"{name}: {result['error']}")
        return
    told = {Task.SCORE: _told_rating, Task.DEGRADATION: _told_degradation, Task.COMPARISON: _told_winner}
    words = told[task](result)
    _print(f"{words}{_told_samples(result)}  {name}")
    if FIELD in result:
        _print(f"    {result[FIELD]['sentence']} (Holds for {result[FIELD]['holds_for']}.)")


def _told_samples(result: dict[str, Any]) -> str:
    """What several samples came to, beside their mean or their most frequent answer."""
    if "samples" not in result:
        return ""
    told = [f"spread {result['spread']:.2f}"] if "spread" in result else []
    if "spread" not in result and result["agreement"] < 1:
        told.append(f"{result['agreement']:.0%} of the samples")
    if result["unreadable"]:
        told.append(f"{result['unreadable']} of {len(result['samples'])} unreadable")
    return f"  ({', '.join(told)})" if told else ""


def _told_rating(result: dict[str, Any]) -> str:
    return f"{result['rating']:.2f}"


def _told_degradation(result: dict[str, Any]) -> str:
    named = result["distortion_class"]
    return f"{result['severity']} {named}" if named else "clean"


def _told_winner(result: dict[str, Any]) -> str:
    return str(result.get("verdict", result["winner"]))


def _print(words: str, in_ascii: str | None = None) -> None:
    """A file name may hold bytes that are no text, and a terminal may lack a character."""
    try:
        words.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        words = in_ascii or words.encode("ascii", "backslashreplace").decode("ascii")
    say(words, result=True)


if __name__ == "__main__":
    sys.exit(at_a_terminal(main))

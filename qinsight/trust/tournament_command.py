"""The command line: `python -m qinsight tournament`."""

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from qinsight.errors import PhotoError, QInsightError
from qinsight.flags import add_model_flags, open_engine
from qinsight.photos import read_photo
from qinsight.requests import Sampling
from qinsight.sentence import Sentence
from qinsight.terminal import counted, say, show_step
from qinsight.trust.told import lines, report
from qinsight.trust.tournament import LEAST, Standing, check_frames, most_pairs, tournament

ANSWERED, MISUSED, UNREADABLE_ANSWER, UNREADABLE_PHOTO = 0, 2, 3, 4


def add_command(commands: Any) -> None:
    """Its flags, for the parser of all commands."""
    command = commands.add_parser(
        "tournament",
        help="find the best of 2 to 12 frames, pair by pair in both orders",
        description="Asks which of two is better, in both orders, until one frame is clearly the best or it cannot be told.",
        allow_abbrev=False,
    )
    command.add_argument("photos", nargs="+", metavar="PHOTO", help="frames of one burst, 2 to 12")
    command.add_argument("--json", action="store_true", help="print one JSON object with every pair asked")
    add_model_flags(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, and say who stands where; a photo that cannot be read is said and left out."""
    try:
        check_frames(len(options.photos))
        _refuse_twice(options.photos)
    except QInsightError as error:
        say(f"qinsight: {error}")
        return MISUSED
    photos, unreadable = _read(options.photos)
    if len(photos) < LEAST:
        problem = Sentence(
            "Expected at least {least} photos that can be read, got {count}.", least=LEAST, count=len(photos)
        )
        say(f"qinsight: {problem}")
        return UNREADABLE_PHOTO
    standing, about = _asked(options, [*photos.values()])
    told = report(standing, [*photos], about, unreadable)
    if options.json:
        say(json.dumps(told), result=True)
    else:
        for line in lines(standing, [*photos]):
            say(line, result=True)
    if unreadable:
        return UNREADABLE_PHOTO
    return UNREADABLE_ANSWER if standing.orders.unread else ANSWERED


def _asked(options: argparse.Namespace, photos: Sequence[Image.Image]) -> tuple[Standing, Any]:
    engine = open_engine(options, show_step)
    sampling = Sampling(options.max_new_tokens, repetition_penalty=options.repetition_penalty)
    with counted("tournament", "pairs") as progress:
        for standing in tournament(engine, photos, sampling, max_pixels=options.max_pixels):
            progress(len(standing.pairs), most_pairs(len(photos)))
    return standing, engine.about.at(options.max_pixels)


def _read(paths: Sequence[str]) -> tuple[dict[str, Image.Image], dict[str, Sentence]]:
    photos: dict[str, Image.Image] = {}
    unreadable: dict[str, Sentence] = {}
    for path in paths:
        try:
            photo = read_photo(path)
        except PhotoError as error:
            unreadable[path] = error.sentence
            say(f"{path}: {error}")
            continue
        for remark in photo.notes:
            say(f"{path}: {remark}")
        photos[path] = photo.image
    return photos, unreadable


def _refuse_twice(paths: Sequence[str]) -> None:
    for one, other in itertools.combinations(paths, 2):
        if one == other or (Path(one).exists() and Path(other).exists() and Path(one).samefile(other)):
            raise QInsightError("Expected every frame once, got {path} twice.", path=other)

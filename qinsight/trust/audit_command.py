"""The command line: `python -m qinsight audit`."""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qinsight.errors import QInsightError
from qinsight.flags import add_model_flags, open_engine, positive
from qinsight.photos.listing import look
from qinsight.requests import About, Engine, Sampling
from qinsight.sentence import Sentence
from qinsight.terminal import counted, say, show_step
from qinsight.trust.audit import MODEL, Rated, Tally, audit, check_knows_ratings, questions, tallies
from qinsight.trust.harms import LADDERS
from qinsight.trust.measures import measures
from qinsight.whole_files import whole_text

REPORT = "audit.json"
ANSWERED, UNREADABLE_ANSWER, UNREADABLE_PHOTO = 0, 3, 4
MOST = 40  # photos, where nobody says otherwise


def add_command(commands: Any) -> None:
    """Its flags, for the parser of all commands."""
    command = commands.add_parser(
        "audit",
        help="see how often the worse of two pictures is rated higher, on ladders made of your photos; resumes",
        description="Makes ladders of growing blur, noise, JPEG, darkness and shrinking of your own photos, has every "
        "picture rated, and counts how often the worse of two is rated higher.",
        allow_abbrev=False,
    )
    add = command.add_argument
    add(
        "photos", nargs="+", metavar="PHOTO|FOLDER", help="good photos: what is damaged already, hides damage"
    )
    words = f"{REPORT} goes here, and what was rated; default: audit"
    add("--out", type=Path, default=Path("audit"), metavar="DIR", help=words)
    words = f"photos at most, spread over what is given; default: {MOST}"
    add("--most", type=positive, default=MOST, metavar="N", help=words)
    words = "also judge by Laplacian variance and, where it is installed, by scikit-image"
    add("--beside", action="store_true", help=words)
    add("--json", action="store_true", help=f"print {REPORT}")
    add_model_flags(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Rate all ladders and say what came of it."""
    photos = _chosen(options.photos, options.most)
    engine = open_engine(options, show_step)
    check_knows_ratings(engine)
    say(
        f"{len(photos)} photos, {len(LADDERS)} ladders of {len(LADDERS['focus'].strengths)} steps: "
        f"{questions(len(photos))} questions to {engine.about.name}."
    )
    rated = _rated(options, engine, photos)
    told = report(rated, engine.about.at(options.max_pixels))
    options.out.mkdir(parents=True, exist_ok=True)
    with whole_text(options.out / REPORT) as file:
        file.write(json.dumps(told, indent=1) + "\n")
    if options.json:
        say(json.dumps(told), result=True)
    else:
        for line in table(tallies(rated)):
            say(line, result=True)
    for note in _not_given(rated, engine.about):
        say(note)
    say(f"Written: {options.out / REPORT}")
    return _code(rated, told)


def report(rated: Sequence[Rated], about: About) -> dict[str, Any]:
    """All of it for programs: by judge and ladder, and the photos that could not be rated."""
    return {
        "task": "audit",
        "model": about.name,
        "weights": about.weights or None,
        "server": about.device if about.precision == "server" else None,
        "written_ratings": sum(one.written for one in rated),
        "precision": about.precision,
        "max_pixels": about.max_pixels,
        "photos": sum(not one.error for one in rated),
        "ladders": {name: list(ladder.strengths) for name, ladder in LADDERS.items()},
        "judges": {
            judge: {name: tally.as_json() for name, tally in found.items()}
            for judge, found in tallies(rated).items()
        },
        "unrated": [{"photo": one.photo, "error": one.error} for one in rated if one.error],
    }


def table(found: Mapping[str, Mapping[str, Tally]]) -> list[str]:
    """How often the worse one was rated higher, per 1,000 pairs, with the interval; judges side by side."""
    lines = ["Worse rated higher, per 1,000 pairs (95 in 100 intervals; = the same):"]
    for judge, ladders in found.items():
        lines.append(f"{judge}:")
        lines += [f"  {name:<11}{_told(tally)}" for name, tally in ladders.items()]
    return lines


def _not_given(rated: Sequence[Rated], about: About) -> list[str]:
    """What the judge, most often a server, does not give, and what that means here."""
    notes = []
    if not about.weights:
        notes.append(
            f"{about.device} does not say its weights: {REPORT} is of what it serves as {about.name} now."
        )
    if written := sum(one.written for one in rated):
        notes.append(
            f"{written} ratings came without odds and count as they were written: more pairs are the same then."
        )
    return notes


def _told(tally: Tally) -> str:
    if not tally.pairs:
        return "no pair was rated"
    per_1000 = f"{1000 * tally.inverted / tally.pairs:4.0f} ({1000 * tally.share.low:.0f} to {1000 * tally.share.high:.0f})"
    same = f"  = {1000 * tally.tied / tally.pairs:.0f}" if tally.tied else ""
    unread = f"  {tally.unread} unreadable" if tally.unread else ""
    few = Sentence(
        "  too few photos to say: {count}, about {needed} would do",
        count=len(tally.counts),
        needed=tally.photos_needed,
    )
    return f"{per_1000}{same}{unread}{few if tally.too_few else ''}"


def _rated(options: argparse.Namespace, engine: Engine, photos: Mapping[str, Path]) -> list[Rated]:
    sampling = Sampling(options.max_new_tokens, repetition_penalty=options.repetition_penalty)
    beside = measures() if options.beside else None
    rated: list[Rated] = []
    kept, started, told = 0, time.monotonic(), False
    with counted("audit", "photos", logged=True) as progress:
        for one in audit(engine, photos, options.out, sampling, max_pixels=options.max_pixels, beside=beside):
            rated.append(one)
            kept += one.kept
            if one.error:
                say(f"{one.photo}: {one.error}")
            elif not (one.kept or told):
                told = True
                left = (time.monotonic() - started) * (len(photos) - len(rated))
                say(
                    f"The first photo took {time.monotonic() - started:.0f} seconds, the others about {left:.0f}."
                )
            progress(len(rated), len(photos), kept)
    return rated


def _chosen(given: Sequence[str], most: int) -> dict[str, Path]:
    """The photos by name, of folders one of each frame; of too many some, evenly spread."""
    photos: dict[str, Path] = {}
    for name in given:
        if Path(name).is_dir():
            folder = Path(name)
            photos |= {str(folder / frame[0]): folder / frame[0] for frame in look(folder).frames}
        elif Path(name).exists():
            photos[name] = Path(name)
        else:
            raise QInsightError("Expected a photo or a folder of photos; there is no {path}.", path=name)
    if len(photos) > most:
        say(f"{most} of {len(photos)} photos are audited, evenly spread; --most takes more.")
        names = list(photos)
        chosen = [names[math.floor(place * len(names) / most)] for place in range(most)]
        return {name: photos[name] for name in chosen}
    return photos


def _code(rated: Sequence[Rated], told: Mapping[str, Any]) -> int:
    if any(one.error for one in rated):
        return UNREADABLE_PHOTO
    unread = sum(tally["unread"] for tally in told["judges"].get(MODEL, {}).values())
    return UNREADABLE_ANSWER if unread else ANSWERED

"""A passport read back: named beside the answers of what it was made of, and of nothing else."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qinsight.check.passport import PASSPORT, engine_of
from qinsight.errors import QInsightError
from qinsight.json_lines import parsed
from qinsight.ranking.folder import model_signature
from qinsight.ranking.rows import Row
from qinsight.requests import About
from qinsight.sentence import Sentence

USUAL = Path("passport") / PASSPORT  # where `check` puts it
# What it is bound to, by the names of passport.json; the rest of an engine's facts change while it runs.
BOUND = (
    "name",
    "weights",
    "precision",
    "device",
    "max_pixels",
    "engine",
    "order",
    "settings",
    "repetition_penalty",
)


@dataclass(frozen=True)
class Named:
    """What a passport says of the engine that answers now: the day of the check and the names of its alarms."""

    date: str
    alarms: tuple[str, ...]
    signature: str

    @property
    def sentence(self) -> Sentence:
        """In a table's cell."""
        if not self.alarms:
            return Sentence("handled as it should be, checked on {date}", date=self.date)
        return Sentence("alarm: {names}; checked on {date}", names=", ".join(self.alarms), date=self.date)

    def beside(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows that this engine rated with it; the others as they are."""
        for row in rows:
            rated = row.error is None and row.model == self.signature
            yield replace(row, app_passport=str(self.sentence)) if rated else row


def add_passport_flag(command: argparse.ArgumentParser) -> None:
    """Which passport a command names."""
    words = f"what `check` wrote of this engine; default: {USUAL}, or the one beside the model, where it is of this engine"
    command.add_argument("--passport", type=Path, metavar="FILE", help=words)


def chosen_passport(options: argparse.Namespace, about: About) -> Named | None:
    """The passport that the flags name, or that lies where one is usually, of what answers at its size; None where there is none.

    `QInsightError` where the one that was named cannot be read, or is of something else.
    """
    now, penalty = about.at(options.max_pixels), options.repetition_penalty
    if options.passport is not None:
        found = _read(options.passport)
        _check(found, now, penalty, options.passport)
        return _named(found, now, penalty)
    for place in (USUAL, Path(options.model).expanduser() / PASSPORT):
        if place.is_file():
            try:
                found = _read(place)
                _check(found, now, penalty, place)
            except QInsightError:
                continue  # nobody said that it was of this engine
            return _named(found, now, penalty)
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = parsed(path.read_text(encoding="utf-8"))
        str(found["date"]), list(found["engine"]), [str(name) for name in found["alarms"]]
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QInsightError(
            "Expected a passport written by `check` in {path}; it cannot be read ({error}).",
            path=path,
            error=error,
        ) from error


def _check(found: dict[str, Any], about: About, penalty: float | None, path: Path) -> None:
    now = engine_of(about, penalty=penalty)
    for field in BOUND:
        then = found["engine"].get(field)
        if then != now[field]:
            raise QInsightError(
                "The passport in {path} is not of what answers here: its {field} is {then}, and now it is {now}.",
                path=path,
                field=field,
                then=then,
                now=now[field],
            )


def _named(found: dict[str, Any], about: About, penalty: float | None) -> Named:
    signature = model_signature(about, about.max_pixels, penalty)
    return Named(str(found["date"])[:10], tuple(map(str, found["alarms"])), signature)

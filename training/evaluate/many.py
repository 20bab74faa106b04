"""Many checkpoints on many data sets: which folders are meant, one table of what each is worth, and its curves."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qinsight.errors import QInsightError
from training.evaluate.best import FOLDER
from training.evaluate.curve import draw
from training.evaluate.measures import Measures

NUMBERS = {  # of a task: its name in the measures, and at the head of its column
    "score": (("plcc", "PLCC"), ("srcc", "SRCC")),
    "degradation": (("class_accuracy", "class"), ("level_accuracy", "severity")),
    "comparison": (("accuracy", "accuracy"),),
}
NONE = "–"
TABLE, CURVE = "checkpoints.md", "checkpoints.png"


@dataclass(frozen=True)
class Place:
    """A folder with weights: what it is called, and after how many updates they were saved, if it says so."""

    name: str
    folder: Path
    update: int | None


def places(given: Sequence[Path]) -> list[Place]:
    """The checkpoints that are named, those in a run's folder in their order, and its best after them."""
    found = [one for path in given for one in _of(path)]
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise QInsightError(f"Expected every checkpoint once; {', '.join(twice)} is named twice.")
    return found


def _of(path: Path) -> list[Place]:
    if not path.is_dir():
        raise QInsightError(f"Expected a folder with a checkpoint, or with a run, at {path}.")
    inside = sorted((one for one in path.glob("checkpoint-*") if _update(one) is not None), key=_order)
    if (path / FOLDER).is_dir():
        inside.append(path / FOLDER)
    whole = [one for one in inside if (one / "trainer_state.json").exists() or one.name == FOLDER]
    return [Place(_named(one), one, _update(one)) for one in whole or [path]]


def _named(folder: Path) -> str:
    """Two runs have checkpoints of the same number: the run's name tells them apart."""
    inner = _update(folder) is not None or folder.name == FOLDER
    return f"{folder.resolve().parent.name}-{folder.name}" if inner else folder.resolve().name


def _update(folder: Path) -> int | None:
    if folder.name == FOLDER:
        try:
            return int(json.loads((folder / "best.json").read_text(encoding="utf-8"))["update"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
    told = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    return int(told[1]) if told else None


def _order(folder: Path) -> int:
    return _update(folder) or 0


def table(found: Sequence[tuple[Place, Sequence[Measures]]]) -> str:
    """A row for each checkpoint, a column for each number of each set; the best of a column is bold."""
    columns = _columns(found)
    values = {(place.name, column): _value(sets, column) for place, sets in found for column in columns}
    best = {column: _best([values[place.name, column] for place, _ in found]) for column in columns}
    head = ["checkpoint", "updates", *(f"{one} {title}" for one, _, _, title in columns), "unreadable"]
    rows = [
        [
            place.name,
            NONE if place.update is None else f"{place.update:,}",
            *(_written(values[place.name, column], best[column], len(found)) for column in columns),
            _unreadable(sets),
        ]
        for place, sets in found
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


Column = tuple[str, str, str, str]
"""Set, task, name of the number, and its title."""


def _columns(found: Sequence[tuple[Place, Sequence[Measures]]]) -> list[Column]:
    sets = dict.fromkeys((str(one["set"]), str(one["task"])) for _, every in found for one in every)
    return [(name, task, number, title) for name, task in sets for number, title in NUMBERS[task]]


def _value(sets: Sequence[Measures], column: Column) -> float | None:
    name, task, number, _ = column
    told = next((one for one in sets if (str(one["set"]), str(one["task"])) == (name, task)), {})
    value = told.get(number)
    return float(value) if isinstance(value, int | float) else None


def _best(values: Sequence[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)


def _written(value: float | None, best: float | None, rows: int) -> str:
    if value is None:
        return NONE
    return f"**{value:.3f}**" if value == best and rows > 1 else f"{value:.3f}"


def _unreadable(sets: Sequence[Measures]) -> str:
    asked = sum(one["n"] for one in sets)
    return f"{sum(one['unreadable'] for one in sets)} of {asked}"


def curve(found: Sequence[tuple[Place, Sequence[Measures]]], path: Path) -> bool:
    """Each number over the updates, a line for each set; False where no two checkpoints tell their update."""
    told = [
        (place, sets) for place, sets in found if place.update is not None and place.folder.name != FOLDER
    ]
    if len(told) < 2:
        return False
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for column in _columns(told):
        points = [(float(place.update or 0), _value(sets, column)) for place, sets in told]
        kept = [(update, value) for update, value in points if value is not None]
        panels.setdefault(column[3], {})[column[0] or "no set"] = kept
    return draw(panels, "updates", path)


def read_report(out: Path) -> list[dict[str, Any]]:
    """The measures that an evaluation left in its folder."""
    found: list[dict[str, Any]] = json.loads((out / "report.json").read_text(encoding="utf-8"))["sets"]
    return found

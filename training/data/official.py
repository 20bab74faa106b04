"""Label files in the shapes that the published trainer of Q-Insight reads, as they stand in its repository.

    {"image": "KONIQ/images/1.jpg", "gt_score_norm": 3.91}                                          metas/train_koniq_7k.json
    {"image": "KADIS-700K/refA_sd_brief/dist_imgs/1.jpg", "distortion_class": "noise", "severity": "slight"}  train_dist.json
    {"ref_image": "Original/x.png", "ImageA": "01/x_01.png", "ImageB": "02/x_02.png", "result": "Image A"}

A JSON list or a JSONL. Where a photo is not there the published trainer takes another one at random; here its rows
are left out and counted, folder by folder.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from qinsight.answers import Clean, Comparison, Degradation, Distortion, Severity
from qinsight.json_lines import Line
from qinsight.prompts import Task
from training.data.examples import Example, Rated
from training.data.kinds import converter_of, told_nearest
from training.data.lines import LabelError, any_rows, raise_all, read_each
from training.data.lists import Scale
from training.data.metas import NAMES
from training.data.own_ratings import ONE_TO_FIVE, winner_of
from training.data.rows import source_of

FOLDERS = {**NAMES, "KADIS-700K": "DQ-495K", "KADIS700K": "DQ-495K", "DIFFIQA": "DiffIQA"}
PASSED_OVER = {"data", "data-deqa-score", "datadepictqa", ".", ".."}  # folders that name no set
NOTHING = {"", "null", "none", "nan"}
PAIR = ("ref_image", "ImageA", "ImageB")
# DQ-495K's other classes (DepictQA's generator); Q-Insight does not ask about them.
OTHER_CLASSES = {
    *("brighten", "contrast strengthen", "contrast weaken", "saturate strengthen", "saturate weaken"),
    *("oversharpen", "pixelate", "quantization"),
}


@dataclass(frozen=True)
class Source:
    """Where the rows' photos are, how their ratings are to be read, and the name of their set."""

    root: Path
    name: str | None = None
    scale: Scale = ONE_TO_FIVE
    look: bool = True


@dataclass
class Tally:
    """How many rows there were, and which were left out and why."""

    rows: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    photos: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{self.rows:,} rows read"]
        if self.missing:
            lines.append(f"missing: {self.missing.total():,} of {self.photos:,} photos")
            lines += [f"  {count:,} in {folder}" for folder, count in sorted(self.missing.items())]
        lines += [f"left out: {count:,} {what}" for what, count in sorted(self.left.items()) if count]
        return "\n".join(lines)


def read_official(files: list[Path], source: Source) -> tuple[list[Example], Tally]:
    """The rows of all files whose photos are there, and the tally; `LabelError` where no photo is there."""
    tally = Tally()
    placed: list[tuple[str, Example]] = []
    for file in files:
        rows = list(any_rows(file))
        tally.rows += len(rows)
        _refuse_unknown(file, rows)
        _refuse_another_scale(file, rows, source.scale)

        def read(place: str, row: Line, file: Path = file) -> list[tuple[str, Example]]:
            return [(place, example) for example in _examples(row, file, source, tally.left)]

        placed += [one for found in read_each(rows, read) for one in found]
    examples = _once(placed, tally.left)
    return (_there(examples, source.root, tally) if source.look else examples), tally


# --- rows -------------------------------------------------------------------------------------------------


def _refuse_unknown(file: Path, rows: list[tuple[str, Line]]) -> None:
    """One sentence for a file of another kind, instead of one for every row."""
    place, first = rows[0]
    if any(_is_known(row) for _, row in rows):
        return
    keys = ", ".join(map(str, first)) or "nothing"
    hint = "." if converter_of(file) else told_nearest(first)
    raise LabelError(f"{place}: expected the keys that Q-Insight's trainer reads, got {keys}{hint}")


def _is_known(row: Line) -> bool:
    return ("image" in row and bool({"gt_score_norm", "distortion_class", "severity"} & set(row))) or {
        *PAIR
    } <= set(row)


def _refuse_another_scale(file: Path, rows: list[tuple[str, Line]], scale: Scale) -> None:
    labels = [label for _, row in rows if (label := _number(row.get("gt_score_norm"))) is not None]
    if not labels or all(scale.holds(label) for label in labels):
        return
    low, high = min(labels), max(labels)
    inside = next((end for end in (1, 5, 10, 100) if low >= 0 and high <= end), None)
    hint = (
        f" If these are from 0 to {inside}, say --range 0 {inside}." if inside else " Say --range LOW HIGH."
    )
    raise LabelError(
        f'{file}: expected "gt_score_norm" from {scale}, as the published files have it, got {low:g} to {high:g}.{hint}'
    )


def _examples(row: Line, file: Path, source: Source, left: Counter[str]) -> Iterator[Example]:
    if {*PAIR} <= set(row):
        yield _comparison(row, file, source)
        return
    if not _is_known(row):
        raise ValueError(
            f"expected image with gt_score_norm, or with distortion_class and severity; got {', '.join(row)}"
        )
    photo = _photo(row, "image")
    name = source.name or _set_of(photo, file)

    def example(task: Task, target: Any, tail: str = "") -> Example:
        return Example(
            f"{name}/{photo}{tail}", name, task, (_path(source.root, photo),), target, source_of(photo)
        )

    if "gt_score_norm" in row:
        yield example(Task.SCORE, _rated(row, source.scale))
    if "distortion_class" in row or "severity" in row:
        target = _diagnosed(row, left)
        if target is not None:
            yield example(Task.DEGRADATION, target, ":degradation")


def _comparison(row: Line, file: Path, source: Source) -> Example:
    photos = [_photo(row, key) for key in PAIR]
    name = source.name or _set_of(photos[0], file, "DiffIQA")
    target = Comparison(winner_of(row, "result"))
    paths = tuple(_path(source.root, photo) for photo in photos)
    return Example(f"{name}/{'|'.join(photos[1:])}", name, Task.COMPARISON, paths, target, source=photos[0])


def _rated(row: Line, scale: Scale) -> Rated:
    norm, label = _number(row["gt_score_norm"]), _number(row.get("gt_score"))
    if norm is None:
        raise ValueError(f'expected "gt_score_norm" as a number, got {row["gt_score_norm"]!r}')
    if not scale.holds(norm):
        raise ValueError(f'expected "gt_score_norm" from {scale}, got {norm:g}')
    return Rated(round(scale.mos(norm), 6), norm if label is None else label)


def _diagnosed(row: Line, left: Counter[str]) -> Degradation | Clean | None:
    kind, level = _word(row, "distortion_class"), _level(row)
    if (kind is None) != (level is None):
        raise ValueError(f'expected a class with its severity or "null" for both, got {kind!r} and {level!r}')
    if kind is None or level is None:
        return Clean()
    if kind in OTHER_CLASSES:
        left[f"rows of class {kind}"] += 1
        return None
    if kind not in set(Distortion):
        raise ValueError(
            f'expected "distortion_class" as one of {", ".join(Distortion)} or null, got {kind!r}'
        )
    if level not in set(Severity):
        raise ValueError(f'expected "severity" as one of {", ".join(Severity)} or null, got {level!r}')
    return Degradation(Distortion(kind), Severity(level))


def _word(row: Line, name: str) -> str | None:
    """A word in small letters with single spaces; None for null in any spelling."""
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f'expected "{name}" as a word or null, got {value!r}')
    word = re.sub(r"[\s_-]+", " ", value or "").strip().lower()
    return None if word in NOTHING else word


def _level(row: Line) -> str | None:
    """The severity; a whole number from 0 to 5 counts the levels, as in the metas of DataDepictQA."""
    value = row.get("severity")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= len(Severity):
        return str(tuple(Severity)[value - 1]) if value else None
    return _word(row, "severity")


def _number(value: Any) -> float | None:
    """A number, also in quotes; None where it is none."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return found if found is not None and abs(found) < float("inf") else None


# --- photos -----------------------------------------------------------------------------------------------


def _photo(row: Line, key: str) -> str:
    """The path in a row, in a list of one or bare, with slashes as they are written on every system."""
    value = row.get(key)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'expected "{key}" as the path of one photo, got {value!r}')
    return value.strip().replace("\\", "/").removeprefix("./")


def _path(root: Path, photo: str) -> Path:
    return root.resolve() / photo


def _set_of(photo: str, file: Path, otherwise: str | None = None) -> str:
    parts = PurePosixPath(photo).parts[:-1] if not photo.startswith("/") else ()
    known = next((FOLDERS[part.upper()] for part in parts if part.upper() in FOLDERS), None)
    first = next((part for part in parts if part.lower() not in PASSED_OVER), None)
    return known or otherwise or first or file.stem


def _once(placed: list[tuple[str, Example]], left: Counter[str]) -> list[Example]:
    """A row that repeats another is left out; two that contradict each other are refused."""
    first: dict[str, tuple[str, Example]] = {}
    problems: list[str] = []
    for place, example in placed:
        before, same = first.setdefault(example.id, (place, example))
        if same is example:
            continue
        if same.target != example.target:
            problems.append(
                f'{place}: expected one answer for "{example.id}", got another one than at {before}'
            )
        left["rows that repeat another"] += 1
    raise_all(problems)
    return [example for _, example in first.values()]


def _there(examples: list[Example], root: Path, tally: Tally) -> list[Example]:
    photos = list(dict.fromkeys(photo for example in examples for photo in example.photos))
    missing = {photo for photo in photos if not photo.is_file()}
    tally.photos = len(photos)
    tally.missing = Counter(str(photo.parent) for photo in missing)
    kept = [example for example in examples if not missing & set(example.photos)]
    tally.left["rows with a missing photo"] += len(examples) - len(kept)
    if examples and not kept:
        lost = next(photo for photo in photos if photo in missing)
        raise LabelError(
            f"{tally}\nExpected photos below --root {root}; not one row has its own. {_hint(lost, root)}"
        )
    return kept


def _hint(lost: Path, root: Path) -> str:
    """Where the photo is after all: below a folder that --root names already, or one that is spelt differently."""
    root = root.resolve()
    parts = lost.relative_to(root).parts if lost.is_relative_to(root) else ()
    for dropped in range(1, len(parts)):
        if (root / Path(*parts[dropped:])).is_file():
            if root.parts[-dropped:] == parts[:dropped]:
                return f"They are there with --root {Path(*root.parts[:-dropped])}"
            return f"The first is at {root / Path(*parts[dropped:])}: put it into {Path(*parts[:dropped])}/ below --root."
    return _other_spelling(root, parts) or f"The first is {lost}; --no-photos converts without them."


def _other_spelling(root: Path, parts: tuple[str, ...]) -> str | None:
    at = root
    for part in parts:
        if (at / part).exists():
            at /= part
            continue
        plain = re.sub(r"[^a-z0-9]", "", part.lower())
        alike = (
            [one.name for one in at.iterdir() if re.sub(r"[^a-z0-9]", "", one.name.lower()) == plain]
            if at.is_dir()
            else []
        )
        return f"Expected {at / part}; there is {at / alike[0]}: rename it, or link to it." if alike else None
    return None

"""Which kind of label file this is, told from its first rows: so that a refusal can name the command that reads it."""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.data.examples import Example, read_examples
from training.data.lines import LabelError
from training.data.lists import is_line

LOOKED_AT = 1 << 16  # bytes of a file that are looked at
ALIKE = 0.8  # from here two names of keys are one, spelt differently


@dataclass(frozen=True)
class Kind:
    """One published form of label files: the keys that its rows have, and what converts it."""

    name: str
    keys: tuple[str, ...]
    command: str

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.keys)}): {self.command}"


def _converter(name: str, more: str = "--root PHOTOS") -> str:
    return f"python -m training.data {name} FILE {more} --out FILE.jsonl"


LIST = _converter("list", "--set NAME --root PHOTOS")
KINDS = (
    Kind("ratings of Q-Insight's trainer", ("image", "gt_score_norm"), _converter("official")),
    Kind(
        "degradations of Q-Insight's trainer",
        ("image", "distortion_class", "severity"),
        _converter("official"),
    ),
    Kind(
        "comparisons of Q-Insight's trainer",
        ("ref_image", "ImageA", "ImageB", "result"),
        _converter("official"),
    ),
    Kind("Data-DeQA-Score", ("id", "image", "gt_score", "gt_score_norm"), _converter("deqa")),
    Kind(
        "DataDepictQA",
        ("id", "image_ref", "image_A", "distortion_class", "severity"),
        "python -m training.data dq495k FILE --root DataDepictQA --out DIR",
    ),
    Kind("VisualQuality-R1", ("image", "dataset_name", "conversations"), _converter("jsonl")),
    Kind("your own ratings", ("photo", "mos"), _converter("ratings")),
    Kind("your own diagnoses", ("photo", "distortion_class", "severity"), _converter("ratings")),
    Kind("your own comparisons", ("a", "b", "winner"), _converter("ratings")),
)


def nearest(keys: Iterable[str]) -> list[Kind]:
    """The kinds that rows with these keys resemble most, the best first; at most three."""
    spelt = [_plain(key) for key in keys]
    marks = [
        (sum(bool(difflib.get_close_matches(_plain(key), spelt, 1, ALIKE)) for key in kind.keys), kind)
        for kind in KINDS
    ]
    found = [(hits / len(kind.keys), hits, kind) for hits, kind in marks if hits]
    return [kind for _, _, kind in sorted(found, key=lambda one: one[:2], reverse=True)[:3]]


def told_nearest(keys: Iterable[str]) -> str:
    """The nearest kinds, as the end of a sentence."""
    return "; nearest are\n" + "\n".join(f"  {kind}" for kind in nearest(keys) or KINDS)


def read_or_point(file: Path, root: Path | None = None) -> list[Example]:
    """The examples of a data file; `LabelError` names the converter where it is a published label file instead."""
    try:
        return read_examples(file, root)
    except LabelError as error:
        told = converter_of(file)
        if told is None:
            raise
        raise LabelError(
            f"Expected a data file that python -m training.data wrote, got {file}.\n{told}"
        ) from error


def converter_of(file: Path) -> str | None:
    """What to do with a file that is not of our own form; None where nothing is known of it."""
    try:
        with open(file, "rb") as content:
            head = content.read(LOOKED_AT).decode("utf-8-sig", "replace")
    except OSError:
        return None
    lines = [line for line in head.split("\n") if line.strip()]
    if not lines:
        return None
    if re.search(r"^\s*-?\s*json_path\s*:", head, re.MULTILINE):
        return "It is a list of data files of Q-Insight's trainer; convert each json_path that it names."
    if is_line(lines[0]):
        return f"It is a plain list of photos and labels; convert it: {LIST.replace('FILE', str(file), 1)}"
    keys = _keys(head, lines[0])
    whole = [kind for kind in KINDS if set(kind.keys) <= set(keys)]
    if not whole:
        return None
    kind = max(whole, key=lambda one: len(one.keys))
    return f"It looks like {kind.name}; convert it: {kind.command.replace('FILE', str(file), 1)}"


def _keys(head: str, line: str) -> list[str]:
    """The keys of the first object, or the columns of a table."""
    start = head.find("{")
    if head.lstrip()[:1] in ("[", "{") and start >= 0:
        try:
            row, _ = json.JSONDecoder().raw_decode(head[start:])
        except ValueError:
            return []
        return list(row) if isinstance(row, dict) else []
    return [name.strip().strip('"').lower() for name in re.split(r"[,;\t]", line)]


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.casefold())

"""A person's own opinions about photos, from a table: written by hand, or the app's export with a column added.

In an export of the app (it has a column `model`), `rating`, `distortion_class` and `severity` are the model's
own answers. They are taken only where the caller says so; a person's opinion stands in a column `mos`.
"""

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qinsight.answers import Comparison, Winner
from qinsight.json_lines import Line, refuse_twice
from qinsight.prompts import Task
from training.data.examples import NULL, Example, Rated, Target, read_target, text_of
from training.data.lines import LabelError, json_lines, read_each, text_of_file
from training.data.lists import Scale
from training.data.rows import refuse_doubles

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"＝＋－＠")  # noqa: RUF001 (what the export leads by an apostrophe)
WINNERS = {
    **{word: Winner.A for word in ("a", "image a")},
    **{word: Winner.B for word in ("b", "image b")},
    **{word: Winner.SIMILAR for word in ("similar", "equal", "same")},
}
ONE_TO_FIVE = Scale(1, 5)
TABLES = (".csv", ".tsv", ".tab", ".txt")
NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?", re.IGNORECASE)
SEPARATOR = re.compile(r"\s*\"?sep=(.*?)\"?[ \r\n]*", re.IGNORECASE)  # Excel's own first line, which it hides
DIAGNOSIS = {"distortion_class", "severity"}
ANSWERS = ("mos", "rating", "distortion_class", "winner")


@dataclass(frozen=True)
class Trust:
    """What of an export of the app is taken for the truth beside `mos`.

    `diagnoses`: a person went through `distortion_class` and `severity`. `model`: the model's answers, ratings
    too, are what the next model shall learn.
    """

    diagnoses: bool = False
    model: bool = False


@dataclass(frozen=True)
class Table:
    """How a table is read: below which folder its photos are, on which scale opinions stand."""

    root: Path
    name: str = "own"
    scale: Scale = ONE_TO_FIVE
    trust: Trust = Trust()


def read_ratings(file: Path, table: Table) -> tuple[list[Example], Counter[str]]:
    """Every opinion of a CSV or JSONL, and how many rows were left out and why.

    A row may hold `mos` (or `rating`), `distortion_class` with `severity`, or both, about `photo`; or `winner`
    about `a` and `b`, perhaps beside a `reference`.
    """
    rows = list(_csv_rows(file, table.root) if file.suffix.lower() in TABLES else _json_rows(file))
    columns = dict.fromkeys(name for _, row in rows for name in row)
    if not ("photo" in columns or {"a", "b"} <= set(columns)) or not set(columns) & set(ANSWERS):
        raise LabelError(
            f"{file}: expected a column photo with mos, rating, or distortion_class and severity; or a, b and "
            f"winner; got the columns {', '.join(columns)}"
        )
    left: Counter[str] = Counter()

    def read(place: str, row: Line) -> list[tuple[str, Example]]:
        found = [(place, example) for example in _examples(row, table)]
        if not found:
            left["rows with an error" if row.get("error") else "rows without an opinion of yours"] += 1
        return found

    placed = [pair for found in read_each(rows, read) for pair in found]
    first = {example.id: example for _, example in reversed(placed)}
    repeated = {place for place, example in placed if example is not first[example.id] == example}
    if repeated:
        left["rows that say the same again"] = len(repeated)
    examples = refuse_doubles((place, example) for place, example in placed if place not in repeated)
    if not examples:
        raise LabelError(_nothing_found(file, columns))
    return examples, left


def _examples(row: Line, table: Table) -> Iterator[Example]:
    row = _filled(row)
    if "winner" in row:
        yield _comparison(row, table)
        return
    exported = "model" in row
    opinion = "mos"
    if "mos" not in row and (table.trust.model or not exported):
        opinion = "rating"
    if opinion in row:
        # The model answers on 1 to 5, whatever scale a person uses.
        scale = ONE_TO_FIVE if exported and opinion == "rating" else table.scale
        yield _about_one(row, Task.SCORE, _rated(_number(row, opinion), opinion, scale), table)
    if DIAGNOSIS & set(row) and (not exported or table.trust.model or table.trust.diagnoses):
        yield _about_one(row, Task.DEGRADATION, read_target(Task.DEGRADATION, row), table)


def _filled(row: Line) -> Line:
    """What a row says. The app leaves class and severity of a clean photo empty."""
    told = {name: value for name, value in row.items() if value not in (None, "")}
    clean = (
        {"model", "rating"} <= told.keys()
        and not {"error", *DIAGNOSIS} & told.keys()
        and row.keys() >= DIAGNOSIS
    )
    return told | dict.fromkeys(DIAGNOSIS, NULL) if clean else told


def _about_one(row: Line, task: Task, target: Target, table: Table) -> Example:
    photo = text_of(row, "photo")
    return Example(f"{table.name}/{photo}:{task}", table.name, task, (_below(table.root, photo),), target)


def _comparison(row: Line, table: Table) -> Example:
    names = [text_of(row, name) for name in ("a", "b")]
    if "reference" in row:
        names.insert(0, text_of(row, "reference"))
    winner = winner_of(row, "winner")
    if winner is Winner.SIMILAR and len(names) == 2:
        raise ValueError(
            'expected "winner" as Image A or Image B: Similar is asked about beside a reference only'
        )
    photos = tuple(_below(table.root, name) for name in names)
    told = f"{table.name}/{'|'.join(names)}"
    source = names[0] if len(names) == 3 else None
    return Example(told, table.name, Task.COMPARISON, photos, Comparison(winner), source)


def winner_of(row: Line, name: str) -> Winner:
    """The winner under a key, in any spelling that can mean one only."""
    winner = WINNERS.get(str(row[name]).strip().lower())
    if winner is None:
        raise ValueError(f'expected "{name}" as Image A, Image B or Similar, got {row[name]!r}')
    return winner


def _rated(label: float, name: str, scale: Scale) -> Rated:
    if not scale.holds(label):
        raise ValueError(f'expected "{name}" from {scale}, got {label:g}')
    return Rated(round(scale.mos(label), 6), label)


def _number(row: Line, name: str) -> float:
    value = row[name]
    if isinstance(value, str):  # a cell of a CSV; with a comma where a spreadsheet program counts like that
        if not NUMBER.fullmatch(value.strip()):
            raise ValueError(f'expected "{name}" as a number, got {value!r}')
        value = float(value.strip().replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise ValueError(f'expected "{name}" as a number, got {json.dumps(value)}')
    return float(value)


def _below(root: Path, name: str) -> Path:
    return root.resolve() / name


def _csv_rows(file: Path, root: Path) -> Iterator[tuple[str, Line]]:
    """Rows of a CSV with commas, semicolons or tabs, as spreadsheet programs save it."""
    try:
        lines = io.StringIO(text_of_file(file), newline="")
        above, delimiter = _head_of(lines)
        reader = csv.DictReader(lines, delimiter=delimiter)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
        refuse_twice([name for name in reader.fieldnames if name], "column")
        rows = [(f"{file}:{above + reader.line_num}", row) for row in reader]
    except UnicodeDecodeError as error:
        raise LabelError(f"Expected {file} in UTF-8; save it as 'CSV UTF-8' ({error}).") from error
    except (OSError, csv.Error) as error:
        raise LabelError(f"Expected a readable CSV at {file}: {error}") from error
    except ValueError as error:
        raise LabelError(f"{file}:{above + 1}: {error}") from error
    if not rows:
        raise LabelError(f"Expected at least one row below the head of {file}; there is none.")
    yield from read_each([(place, (place, row, root)) for place, row in rows], _whole_row)


def _head_of(lines: io.StringIO) -> tuple[int, str]:
    """How many lines stand above the head, and the delimiter: the one that is named there, else the most frequent."""
    named = None
    for above in itertools.count():
        begin = lines.tell()
        line = lines.readline()
        if found := SEPARATOR.fullmatch(line):
            named = found[1].replace("\\t", "\t")
            if len(named) != 1:
                raise csv.Error(f"the line {line.strip()!r} names no delimiter of one character; delete it")
        elif line.strip() or not line:
            lines.seek(begin)
            return above, named or max(",;\t", key=line.count)
    raise AssertionError


def _json_rows(file: Path) -> Iterator[tuple[str, Line]]:
    for place, row in json_lines(file):
        yield place, {name.strip().lower(): value for name, value in row.items()}


def _whole_row(place: str, found: tuple[str, dict[Any, Any], Path]) -> tuple[str, Line]:
    _, row, root = found
    if None in row or None in row.values():
        raise ValueError("expected as many cells as the head has columns, got more or fewer")
    for name in {"photo", "a", "b", "reference"} & set(row):
        row[name] = _unquoted(row[name], root)
    return place, row


def _unquoted(name: str, root: Path) -> str:
    """A name without the apostrophe that keeps a spreadsheet program from running it as a formula."""
    if name.startswith("'") and name[1:].startswith(FORMULA) and not (root / name).exists():
        return name[1:]
    return name


def _nothing_found(file: Path, columns: dict[str, None]) -> str:
    if "model" not in columns:
        return f"{file}: expected at least one row with an opinion, got none"
    return (
        f"{file}: expected your own opinions in a column mos; rating, distortion_class and severity of this file are "
        f"the model's answers. Add the column, say --corrected where you went through the diagnoses, or "
        f"--trust-model to train on what the model said"
    )

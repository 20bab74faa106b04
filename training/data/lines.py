"""The lines and rows of label files, each with its place, and all their problems at once."""

import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from qinsight.errors import QInsightError
from qinsight.json_lines import Line, Read, json_object, parsed

MOST_TOLD = 10  # problems of one file that are spelt out; the rest are counted


class LabelError(QInsightError):
    """A data file that cannot be trusted: which line, what was expected, what came."""


def json_rows(file: Path) -> Iterator[tuple[str, Line]]:
    """The objects of a JSON list, each with the file and its row number, counted from 1."""
    try:
        rows = parsed(text_of_file(file))
    except (OSError, ValueError) as error:
        raise LabelError(f"Expected a readable JSON file at {file}: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise LabelError(f"Expected a JSON list of rows in {file}, got {json.dumps(rows)[:60]}")
    raise_all(
        [
            f"{file}: row {number}: expected an object, got {json.dumps(row)[:60]}"
            for number, row in enumerate(rows, 1)
            if not isinstance(row, dict)
        ]
    )
    yield from ((f"{file}: row {number}", row) for number, row in enumerate(rows, 1))


def text_of_file(file: Path) -> str:
    """A text in UTF-8, or in UTF-16 with the mark that Excel's "Unicode Text" begins with."""
    content = file.read_bytes()
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content[:2]:  # the mark is missing; no text begins with NUL
        return content.decode("utf-16-be" if content.startswith(b"\0") else "utf-16-le")
    return content.decode("utf-8-sig")


def text_lines(file: Path, kind: str = "text") -> Iterator[tuple[str, str]]:
    """The lines of a text that are not empty, each with its place: the file and the line's number, from 1."""
    try:
        lines = text_of_file(file).split("\n")  # splitlines would split at U+2028 too
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"Expected a readable {kind} at {file}: {error}") from error
    if not any(line.strip() for line in lines):
        raise LabelError(f"Expected at least one line in {file}; it is empty.")
    yield from ((f"{file}:{number}", line) for number, line in enumerate(lines, 1) if line.strip())


def json_lines(file: Path) -> Iterator[tuple[str, Line]]:
    """The objects of a JSONL, each with the file and its line number."""
    return iter(read_each(text_lines(file, "JSONL"), lambda place, text: (place, json_object(text))))


def line_in(place: str) -> int:
    """The number of a line in its place."""
    return int(place.rpartition(":")[2])


def any_rows(file: Path) -> Iterator[tuple[str, Line]]:
    """The objects of a JSON list or of a JSONL, each with its place."""
    first = next(text_lines(file))[1].lstrip()[:1]
    return json_rows(file) if first == "[" else json_lines(file)


def read_each(places: Iterable[tuple[str, Any]], read: Callable[[str, Any], Read]) -> list[Read]:
    """`read` called with every place and row; `LabelError` lists all places where it raised `ValueError`."""
    found: list[Read] = []
    problems: list[str] = []
    for place, row in places:
        try:
            found.append(read(place, row))
        except ValueError as error:
            problems.append(f"{place}: {error}")
    raise_all(problems)
    return found


def raise_all(problems: list[str]) -> None:
    """`LabelError` with every problem on a line of its own, the first ten spelt out; nothing where none."""
    if problems:
        more = [f"... and {len(problems) - MOST_TOLD} more."] if len(problems) > MOST_TOLD else []
        raise LabelError("\n".join(problems[:MOST_TOLD] + more))

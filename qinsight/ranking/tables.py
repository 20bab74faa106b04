"""From a ranking to tables that other programs read, and to files that are whole or not there.

What goes wrong is a `QInsightError` of one sentence, and leaves what was there before. The photos are only ever
looked at, except by `qinsight.ranking.embedding`.
"""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import TextIO

from qinsight.errors import PhotoError, QInsightError
from qinsight.photos.files import recognise
from qinsight.ranking.rows import COMPARED_BY, Row
from qinsight.sentence import Sentence
from qinsight.whole_files import whole_text


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """A table for spreadsheet programs, ranked as the rows come; a photo that was not rated has no rank.

    A text that such a program would run as a formula is led by an apostrophe, which it does not show.
    """
    names = [
        field.name for field in fields(Row) if field.name not in {*COMPARED_BY, "made_by"}
    ]  # no cell holds what made a row
    with replacing(path, encoding="utf-8-sig") as file:  # without the mark, Excel reads UTF-8 as Latin-1
        table = csv.writer(file)
        table.writerow(["rank", *names])
        for rank, row in ranked(rows):
            told = row.as_json()
            table.writerow([rank, *(_cell(told[name]) for name in names)])


def write_jsonl(rows: Iterable[Row], path: Path) -> None:
    """A line of JSON per row, with the keys of `Row`."""
    with replacing(path) as file:
        for row in rows:
            file.write(json.dumps(row.as_json(), ensure_ascii=False) + "\n")


def ranked(rows: Iterable[Row]) -> Iterator[tuple[int | None, Row]]:
    """Rows with their rank; one that was not rated has none."""
    rank = 0
    for row in rows:
        rated = row.error is None and row.was_asked_about
        rank += rated
        yield (rank if rated else None), row


def _cell(value: object) -> object:
    """Numbers as they are; OWASP's list of how a formula may begin, and the full-width forms Excel reads too."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n", *"＝＋－＠")):  # noqa: RUF001
        return "'" + value
    return value


def inside(folder: Path, name: str) -> Path:
    """A row may come from a file that somebody edited: it names photos below the folder, or none."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise PhotoError("expected a photo below the folder, got {name!r}", name=name)
    return Path(folder, *parts)


def check_folder(path: Path, what: str) -> None:
    """Refuse a place for a folder of `what` where a file is."""
    for place in (path, *path.parents):
        if os.path.lexists(place) and not place.is_dir():
            raise QInsightError("Expected a folder for {what}; {place} is none.", what=what, place=place)


def reasoning(row: Row) -> str:
    """All the model thought about a photo."""
    return "\n\n".join(thoughts(row))


def thoughts(row: Row) -> list[str]:
    """What the model thought about a photo's quality, and about its fault."""
    return [*filter(None, (clean(text or "").strip() for text in (row.thinking, row.diagnosis)))]


def clean(text: str) -> str:
    """The text without what XML and HTML cannot hold: control characters, half a surrogate pair."""
    return re.sub(
        r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", re.sub("\r\n?", "\n", text)
    )


@contextmanager
def replacing(path: Path, *, encoding: str = "utf-8", finished: str = "") -> Iterator[TextIO]:
    """A text that takes the place of `path` once it is whole and on the disk, and is gone otherwise; never a photo's."""
    path = Path(path)
    _refuse_photo(path)
    try:
        with whole_text(path, encoding=encoding) as file:
            yield file
    except OSError as error:
        raise QInsightError(
            "Expected to write {path}, got '{cause}'; free some space or choose another place{finished}.",
            path=path,
            cause=error.strerror or error,
            finished=finished or Sentence(" (a file that was there is unchanged)"),
        ) from error


def _refuse_photo(path: Path) -> None:
    try:
        if path.exists() and not path.is_file():
            raise QInsightError(
                "Expected the name of a file to write, got a folder or a device: {path}.", path=path
            )
        with path.open("rb") as file:
            kind = recognise(file.read(1 << 16))
    except (OSError, PhotoError):
        return  # nothing there, or no photo
    raise QInsightError(
        "Expected the name of a file to write, got a {kind} photo: {path}; it is unchanged.",
        kind=kind,
        path=path,
    )

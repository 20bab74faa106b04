"""Labels that people gave to photographs, to measure a model by: a JSONL, a table, or the stars in a folder's XMP.

    {"photos": ["1.jpg"], "task": "score", "mos": 3.91}          as `python -m training.data` writes it
    photo,stars                                                  a CSV with a head
    a folder                                                     stars in sidecars and JPEGs, where a person gave them

In an export of the app (it has `model`) `rating` is the model's own answer: a person's stands in `mos` or `stars`.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qinsight.answers import Distortion
from qinsight.errors import QInsightError
from qinsight.json_lines import json_object
from qinsight.photos.listing import look
from qinsight.ranking.embedding import is_jpeg, packet_of
from qinsight.ranking.xmp import by_hand

OPINIONS = ("mos", "stars", "score", "rating")  # columns, the surest first
CLASSES = (*map(str, Distortion), "null")


@dataclass(frozen=True)
class Label:
    """What a person said of a photo, or its degradation does; `source` is the original that it was made from."""

    photo: Path
    rating: float | None = None
    distortion_class: str | None = None
    source: str = ""


def read_labels(place: Path, photos: Path | None = None) -> list[Label]:
    """The labels in a file or a folder, one of each photo; photos lie below `photos`, or beside the file."""
    if place.is_dir():
        return list(_stars_below(place))
    root = photos or place.parent
    found: dict[Path, Label] = {}
    for where, row in _rows(place):
        try:
            label = _label(row, root)
        except ValueError as error:
            raise QInsightError("{where}: {error}.", where=where, error=error) from error
        if label is None:
            continue
        before = found.get(label.photo, Label(label.photo))
        found[label.photo] = _joined(before, label, where)
    if not found:
        raise QInsightError(
            "Expected labels in {place}: a photo with mos or stars, or with distortion_class; got none. In an "
            "export of this app, rating and distortion_class are the model's own answers.",
            place=place,
        )
    return list(found.values())


def _joined(before: Label, label: Label, where: str) -> Label:
    for name in ("rating", "distortion_class"):
        old, new = getattr(before, name), getattr(label, name)
        if None not in (old, new) and old != new:
            raise QInsightError(
                "{where}: expected one label of {photo}, got {new} after {old}.",
                where=where,
                photo=label.photo.name,
                new=new,
                old=old,
            )
    told = {name: value for name, value in vars(label).items() if value}
    return replace(before, **told)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
        rows = _json_rows(text) if file.suffix.lower() in (".jsonl", ".json") else _table_rows(text)
        for number, row in rows:
            yield f"{file}:{number}", {str(name).strip().lower(): value for name, value in row.items()}
    except (OSError, ValueError, csv.Error) as error:
        raise QInsightError(
            "Expected labels in {place}, as JSON lines or as a CSV in UTF-8; it cannot be read ({error}).",
            place=file,
            error=error,
        ) from error


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, json_object(line)


def _table_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
    for row in reader:
        yield reader.line_num, row


def _label(row: dict[str, Any], root: Path) -> Label | None:
    """The label in a row; None where it is about something else, or nobody gave one."""
    photos = row.get("photos") or [row.get("photo") or row.get("image")]
    if not isinstance(photos, list) or not isinstance(photos[0], str) or not photos[0].strip():
        raise ValueError(f"expected a column photo, got the columns {', '.join(row)}")
    if len(photos) > 1:
        return None
    exported = "model" in row
    rating = next((row[name] for name in OPINIONS if _given(row, name, exported)), None)
    named = row.get("distortion_class") if not exported else None
    if named is not None and named not in CLASSES:
        raise ValueError(f"expected a distortion_class of {', '.join(CLASSES)}, got {named!r}")
    if rating is None and named is None:
        return None
    source = str(row.get("source") or "")
    return Label(root / photos[0].strip(), None if rating is None else _on_five(rating), named, source)


def _given(row: dict[str, Any], name: str, exported: bool) -> bool:
    return row.get(name) not in (None, "") and not (exported and name == "rating")


def _on_five(told: Any) -> float:
    try:
        value = float(str(told).replace(",", "."))
    except ValueError:
        value = math.nan
    if isinstance(told, bool) or not 1 <= value <= 5:
        raise ValueError(
            f"expected a label from 1 to 5, got {told}; `python -m training.data` brings other scales to 1 to 5"
        )
    return value


def _stars_below(folder: Path) -> Iterator[Label]:
    """One to five stars that a person gave; a rejected or unrated photo has none."""
    found = 0
    for frame in look(folder).frames:
        stars = next((stars for name in frame if (stars := _stars_of(folder / name)) is not None), None)
        if stars is not None and 1 <= stars <= 5:
            found += 1
            yield Label(folder / frame[0], stars)
    if not found:
        raise QInsightError(
            "Expected photos with stars of yours below {folder}, in sidecars or in JPEGs; none has any.",
            folder=folder,
        )


def _stars_of(photo: Path) -> float | None:
    for packet in _packets(photo):
        if (stars := by_hand(packet)) is not None:
            return stars
    return None


def _packets(photo: Path) -> Iterable[bytes]:
    for name in (f"{photo.name}.xmp", f"{photo.name}.XMP", f"{photo.stem}.xmp", f"{photo.stem}.XMP"):
        if photo.with_name(name).is_file():
            yield photo.with_name(name).read_bytes()
    if is_jpeg(photo.name) and (packet := packet_of(photo.read_bytes())):
        yield packet

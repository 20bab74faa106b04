"""Whether every photo of a data file can be read, asked once and remembered beside the file.

A run that meets a broken photo after six hours has lost six hours. The second check of a file compares
sizes and times only: 14,000 photos take a fraction of a second.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from qinsight.errors import PhotoError
from qinsight.photos import load_photo
from qinsight.photos.files import read_bytes
from qinsight.whole_files import whole_text
from training.data.examples import Example
from training.data.lines import raise_all

Seen = tuple[int, int, str]
"""Size in bytes, time of the last change in nanoseconds, and SHA-256 of a photo that could be read."""

Progress = Callable[[int, int], None]
"""Hears how many photos of how many were looked at."""

PIXELS = 1_003_520  # a larger JPEG is decoded whole and kept smaller, which is faster
AT_ONCE = 64  # photos for each thread before the next are handed out; a stopped check ends soon


def record_of(file: Path) -> Path:
    """Where the check of a data file is remembered."""
    return file.with_name(file.name + ".checked.json")


def check_photos(
    examples: Iterable[Example], record: Path | None = None, progress: Progress | None = None
) -> None:
    """`LabelError` that lists every photo that is missing or cannot be read; nothing where all can."""
    read_photos(examples, record, progress)


def read_photos(
    examples: Iterable[Example], record: Path | None = None, progress: Progress | None = None
) -> dict[Path, str]:
    """The SHA-256 of every photo, decoded now or unchanged since `record` was written; see `check_photos`."""
    asked: dict[Path, str] = {}
    for example in examples:
        for photo in example.photos:
            asked.setdefault(photo, example.id)
    known = _remembered(record)
    seen: dict[Path, Seen] = {}
    problems: dict[Path, str] = {}
    fresh = []
    for photo in asked:
        try:
            size, changed = _stamp(photo)
        except OSError as error:
            problems[photo] = f"expected a photo, got '{error.strerror}'"
            continue
        before = known.get(photo)
        if before and before[:2] == (size, changed):
            seen[photo] = before
        else:
            fresh.append(photo)
    try:
        _look(fresh, seen, problems, progress)
    finally:  # stopped half-way, what was looked at counts
        if fresh and record:
            _remember(record, {**known, **seen})
    raise_all([f'"{asked[photo]}": {photo}: {problems[photo]}' for photo in asked if photo in problems])
    return {photo: digest for photo, (_, _, digest) in seen.items()}


def refuse_copies(train: Sequence[Example], test: Sequence[Example], digests: dict[Path, str]) -> None:
    """`LabelError` where a photo of `test` is trained on under another name."""
    trained = {digests[photo]: photo for example in train for photo in example.photos}
    problems = {
        photo: f'"{example.id}" is tested on {photo}, which is the same file as {trained[digests[photo]]}'
        for example in test
        for photo in example.photos
        if digests[photo] in trained
    }
    if problems:
        raise_all(["Expected no photo in both training and test:", *problems.values()])


def _look(
    photos: list[Path], seen: dict[Path, Seen], problems: dict[Path, str], progress: Progress | None
) -> None:
    threads = min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(photos), AT_ONCE * threads):
            batch = photos[start : start + AT_ONCE * threads]
            for place, (photo, found) in enumerate(zip(batch, pool.map(_look_at, batch), strict=True), 1):
                if isinstance(found, str):
                    problems[photo] = found
                else:
                    seen[photo] = found
                if progress:
                    progress(start + place, len(photos))


def _look_at(photo: Path) -> Seen | str:
    try:
        stamp = _stamp(photo)  # before the bytes: a photo that is changed meanwhile is looked at again
        data = read_bytes(photo)
        load_photo(data, max_pixels=PIXELS)
    except (PhotoError, OSError) as error:
        return str(error)
    return (*stamp, hashlib.sha256(data).hexdigest())


def _stamp(photo: Path) -> tuple[int, int]:
    found = photo.stat()
    return found.st_size, found.st_mtime_ns


def _remembered(record: Path | None) -> dict[Path, Seen]:
    """What an earlier check saw; nothing where its record is gone or not to be understood."""
    known: dict[Path, Seen] = {}
    with suppress(OSError, ValueError, TypeError, AttributeError):
        told = json.loads(record.read_text(encoding="utf-8")) if record else {}
        for name, (size, changed, digest) in told.items():
            if record and isinstance(digest, str):
                known[record.parent.resolve() / name] = (size, changed, digest)
    return known


def _remember(record: Path, seen: dict[Path, Seen]) -> None:
    """Written whole or not at all; a folder that cannot be written to costs a longer check next time."""
    below = record.parent.resolve()
    named = {
        (photo.relative_to(below) if photo.is_relative_to(below) else photo).as_posix(): stamp
        for photo, stamp in seen.items()
    }
    with suppress(OSError), whole_text(record) as file:
        json.dump(named, file)

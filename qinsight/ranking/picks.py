"""The picked frames of a ranking, copied to a folder of their own: nothing there is replaced, nothing here is changed.

A frame is picked where it is alone, the best of its burst or part of a bracket, and not rejected: by the threshold, or
by a person's -1 in its XMP. Stars that a person gave keep it from the threshold. What a person picked or rejected on the
page counts before all of that.
"""

import contextlib
import errno
import filecmp
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qinsight.errors import PhotoError, QInsightError
from qinsight.photos.files import read_bytes
from qinsight.photos.listing import PICKS
from qinsight.ranking.embedding import is_jpeg, packet_of
from qinsight.ranking.rows import Row, of_each_file
from qinsight.ranking.tables import check_folder, inside
from qinsight.ranking.xmp import by_hand, stars_of
from qinsight.whole_files import sweep, whole_file


class Picks(NamedTuple):
    """The frames that were picked, the files of theirs that are in the folder now, a sentence for each that is not."""

    frames: int
    copied: list[Path]
    failures: list[str]


def check_place(place: Path, folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder for picks that is a file, or that holds the photos to be picked from."""
    check_folder(place, "picks")
    target, source = place.resolve(), folder.resolve()
    if target == source or target in source.parents:
        raise QInsightError(
            f"Expected a folder for picks that is not the ranked one, nor around it: {place}."
        )
    if any(target in (source / name).parents for name in names):
        raise QInsightError(f"Expected a folder of its own for picks; {place} holds photos that are ranked.")


def copy_picks(rows: Sequence[Row], folder: Path, place: Path, *, reject_below: float | None = None) -> Picks:
    """Copy picked frames with their RAW and their sidecars to the same place below `place`, times kept.

    What is there already stays: the same file is not copied again, another one of that name is named in
    `failures`. Where the disk is full, a `QInsightError` ends it; the same again goes on.
    """
    shoot = _Shoot(folder)
    picked = list(_picked(rows, shoot, reject_below))
    result = Picks(len({frame[0] for frame in picked}), [], [])
    _made(place, folder)
    files = dict.fromkeys(name for frame in picked for name in frame)
    swept: set[Path] = set()
    for name in files:
        target = inside(place, name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.parent not in swept:
                sweep(target.parent)
                swept.add(target.parent)
            _copy(inside(folder, name), target)
        except (PhotoError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise QInsightError(
                    f"Expected room for {target}, got '{error.strerror}'. The {len(result.copied)} files before it "
                    "are whole; free some space and run the same command again."
                ) from error
            result.failures.append(f"{name}: {_told(error)}")
        else:
            result.copied.append(target)
    return result


def _told(error: PhotoError | OSError) -> str:
    if isinstance(error, PhotoError):
        return str(error)
    return f"expected to copy it, got '{error.strerror or error}'"


def _picked(rows: Iterable[Row], shoot: "_Shoot", reject_below: float | None) -> Iterator[list[str]]:
    """The files of each picked frame; of a burst whose best was rejected by a person the next in rank."""
    seen: set[int] = set()
    for row in sorted(
        rows, key=lambda row: not row.best
    ):  # the best of each burst, then all as they are ranked
        whole = row.bracket or row.pick == "picked"
        if (row.error is not None and row.pick != "picked") or (row.group in seen and not whole):
            continue
        frame = shoot.frame(row)
        person = shoot.stars_by_hand(frame) if row.by_person is None else row.by_person
        if row.pick == "picked":
            person = 0
        if (stars_of(row, (), reject_below) or 0 if person is None else person) < 0:
            continue
        if row.group is not None and not row.bracket:
            seen.add(row.group)
        yield frame


class _Shoot:
    """The folder, looked through once for what belongs together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[Path, dict[str, list[Path]]] = {}

    def frame(self, row: Row) -> list[str]:
        """The files of one shutter, by their names: the photo, RAW or JPEG beside it, their sidecars."""
        shots = [inside(self.folder, file.photo) for file in of_each_file([row])]
        photo = shots[0]
        named = [photo.stem, *(shot.name for shot in shots)]
        beside = [path for stem in named for path in self._of_stem(photo.parent, stem)]
        sidecars = [path for path in beside if path.suffix.lower() == ".xmp"]
        return [path.relative_to(self.folder).as_posix() for path in (*shots, *sidecars)]

    def stars_by_hand(self, frame: Sequence[str]) -> float | None:
        """What a person said of a frame, in a sidecar or else in the JPEG; XMP that cannot be read says nothing."""
        for name in reversed(frame):
            path = inside(self.folder, name)
            with contextlib.suppress(QInsightError, OSError):
                xmp = packet_of(read_bytes(path)) if is_jpeg(name) else None
                if name.lower().endswith(".xmp"):
                    xmp = path.read_bytes()
                if xmp and (given := by_hand(xmp)) is not None:
                    return given
        return None

    def _of_stem(self, place: Path, stem: str) -> list[Path]:
        if place not in self._places:
            found = self._places.setdefault(place, {})
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                found.setdefault(path.stem, []).append(path)
        return self._places[place].get(stem, [])


def _made(place: Path, folder: Path) -> None:
    """The folder; inside the ranked one with a mark, by which the next ranking leaves it out."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        if folder.resolve() in place.resolve().parents:
            (place / PICKS).touch()
    except OSError as error:
        raise QInsightError(
            f"Expected to make the folder {place}, got '{error.strerror or error}'."
        ) from error


def _copy(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        if target.is_file() and filecmp.cmp(source, target, shallow=False):
            return
        raise PhotoError(f"expected its place free, got another file at {target}; that is unchanged")
    before = source.stat()
    with source.open("rb") as original, whole_file(target, like=before, source=source) as copy:
        shutil.copyfileobj(original, copy, 1 << 20)

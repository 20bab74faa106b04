"""XMP sidecars: a ranking beside the photos, for Lightroom, darktable and digiKam; foreign content stays."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from qinsight.errors import PhotoError, QInsightError
from qinsight.photos.listing import RAW_SUFFIXES
from qinsight.ranking.rows import Row
from qinsight.ranking.tables import inside, replacing
from qinsight.ranking.xmp import STARS, check_stars, merged, stars_of
from qinsight.sentence import Sentence

Naming = Literal["full", "stem"]


class Sidecars(NamedTuple):
    """The sidecars that now hold their row, and a sentence for each photo whose sidecar was left alone."""

    written: list[Path]
    failures: list[str]


def write_sidecars(
    rows: Iterable[Row],
    folder: Path,
    *,
    out: Path | None = None,
    stars: Sequence[float] = STARS,
    reject_below: float | None = None,
    naming: Naming = "full",
    keep_ratings: bool = True,
    caption: bool = False,
) -> Sidecars:
    """An XMP sidecar per rated photo: stars, keywords, and our own properties, the reasoning among them.

    It lies beside its photo, or at the same place below `out`. `naming` 'full' gives IMG_1.CR2.xmp, which
    darktable and digiKam read; 'stem' gives IMG_1.xmp, which Lightroom and Bridge read, for RAW photos only:
    they look for the XMP of a JPEG inside it (see `qinsight.ranking.embedding`). A RAW goes before a JPEG of the same stem.

    Stars are counted from the expected rating: one, and one more for each of `stars` that it reaches; -1, a
    rejected photo, below `reject_below`. An existing sidecar keeps all it had, and below `out` one beside the
    photo is copied first. Stars a person gave stay; without `keep_ratings` they are replaced and remembered as
    `qinsight:formerRating`. A photo without a description gets the reasoning as one only where a `caption` is
    asked for.

    A sidecar that cannot be read or understood is left alone and named in `failures`; the others go on.
    Where writing fails, a `QInsightError` ends the export, and the sidecars written until then stay.
    """
    check_stars(stars)
    if naming not in ("full", "stem"):
        raise QInsightError(f"expected the naming 'full' or 'stem', got '{naming}'")
    result = Sidecars([], [])
    for name, row in _one_photo_each(rows, naming, result.failures):
        try:
            beside = _existing(inside(folder, name))
            path = beside if out is None else _existing(inside(out, name))
            source = path if os.path.exists(path) else beside  # Path.exists raises where a name is too long
            if out is None and not path.parent.is_dir():
                raise QInsightError(f"expected the folder {path.parent} beside the photo, got none")
            old = _read_sidecar(source)
            given = stars_of(row, stars, reject_below)
            new = merged(old, row, stars=given, keep_ratings=keep_ratings, caption=caption)
        except QInsightError as error:
            result.failures.append(f"{row.photo}: {error}")
            continue
        # Untouched files keep their time: Lightroom and darktable take a newer sidecar for a conflict.
        if source != path or old != new:
            _write_sidecar(path, new, made_below=out, finished=len(result.written))
        result.written.append(path)
    return result


def has_sidecar(row: Row, folder: Path) -> bool:
    """Whether a photo has a sidecar of its full name already."""
    try:
        return os.path.exists(_existing(inside(folder, f"{row.photo}.xmp")))
    except PhotoError:
        return False


# --- sidecars: their names and files ------------------------------------------------------------------

_MOST_BYTES = 64 << 20  # Lightroom's masks make sidecars of several MB


def _one_photo_each(rows: Iterable[Row], naming: Naming, failures: list[str]) -> list[tuple[str, Row]]:
    """Sidecar names and their rows; where 'stem' gives two photos one sidecar, a RAW has it, else the first."""
    owners: dict[str, Row] = {}
    for row in rows:
        if row.error is not None:
            continue
        try:
            photo = inside(Path(), row.photo)
        except PhotoError as error:
            failures.append(f"{row.photo}: {error}")
            continue
        name = f"{(photo.with_suffix('') if naming == 'stem' else photo).as_posix()}.xmp"
        owner = owners.setdefault(name, row)
        if owner is not row:
            loser = row
            if _is_raw(row) and not _is_raw(owner):
                owners[name], loser = row, owner
            failures.append(
                f"{loser.photo}: expected a sidecar of its own, got {name}, which is for {owners[name].photo}; "
                "use the naming 'full'"
            )
    return list(owners.items())


def _is_raw(row: Row) -> bool:
    return row.photo.lower().endswith(RAW_SUFFIXES)


def _existing(path: Path) -> Path:
    """The sidecar as it is spelled: Windows programs write .XMP, and two sidecars would confuse everybody."""
    upper = path.with_suffix(".XMP")
    return upper if os.path.exists(upper) and not os.path.exists(path) else path


def _read_sidecar(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise QInsightError(f"expected to read {path.name}, got '{error.strerror}'") from error
    if len(data) > _MOST_BYTES:
        raise QInsightError(f"expected a sidecar of at most {_MOST_BYTES >> 20} MB, got a larger {path.name}")
    return data


def _write_sidecar(path: Path, data: bytes, *, made_below: Path | None, finished: int) -> None:
    told = Sentence("; the {count} sidecars written before it stay", count=finished)
    if made_below is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise QInsightError(
                "Expected to write {path}, got '{cause}'; free some space or choose another place{finished}.",
                path=path,
                cause=error.strerror or error,
                finished=told,
            ) from error
    with replacing(path, finished=told) as file:
        file.write(data.decode())

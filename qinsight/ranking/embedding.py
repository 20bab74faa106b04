"""XMP inside JPEGs, where Lightroom, Bridge and Windows look for it: only when asked, and nothing else is changed.

Every byte of the file stays as it is but those of the packet. The new file is written beside the photo and takes
its place once it is whole and on the disk, with the times, permissions and attributes of the old one.
"""

import errno
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import ExifTags, Image

from qinsight.errors import PhotoError, QInsightError
from qinsight.photos.files import BROKEN, open_regular, read_bytes
from qinsight.photos.jpeg import (
    EXIF,
    EXTENSION,
    MORE_PICTURES,
    MOST_PACKET,
    PHOTOSHOP,
    SUFFIXES,
    XMP,
    Jpeg,
    Segment,
    points_behind,
)
from qinsight.ranking.rows import Row
from qinsight.ranking.tables import inside
from qinsight.ranking.xmp import NEW_PACKET, STARS, check_stars, holds_ours, merged, rewritten, stars_of
from qinsight.whole_files import sweep, whole_file

WHAT = "an XMP packet"


class Embedded(NamedTuple):
    """The JPEGs that now hold their row, and a sentence for each that was left alone."""

    written: list[Path]
    failures: list[str]


def is_jpeg(name: str) -> bool:
    """Whether programs look for a photo's XMP inside it, by its name."""
    return name.lower().endswith(SUFFIXES)


def embed(
    rows: Iterable[Row],
    folder: Path,
    *,
    stars: Sequence[float] = STARS,
    reject_below: float | None = None,
    keep_ratings: bool = True,
    caption: bool = False,
) -> Embedded:
    """Write the rows of JPEGs into their files, as `write_sidecars` writes them beside other photos.

    A file that is read-only, a link or no whole JPEG, and one in which something would break, is left alone and named
    in `failures`; the others go on. Where the disk is full, a `QInsightError` ends it, and every photo is whole.
    """
    check_stars(stars)
    result = Embedded([], [])
    swept: set[Path] = set()
    for row in rows:
        if row.error is not None or not is_jpeg(row.photo):
            continue
        try:
            path = _own_file(folder, row.photo)
            if path.parent not in swept:
                sweep(path.parent)
                swept.add(path.parent)
            before = path.stat()
            old = read_bytes(path)
            given = stars_of(row, stars, reject_below)
            new = with_row(old, row, stars=given, keep_ratings=keep_ratings, caption=caption)
            if new != old:
                _write(path, new, before, len(result.written))
        except _Full:
            raise
        except QInsightError as error:
            told = str(error).removesuffix("; it is unchanged")
            result.failures.append(f"{row.photo}: {told}; it is unchanged")
            continue
        result.written.append(path)
    return result


def with_row(
    photo: bytes, row: Row, *, stars: int | None, keep_ratings: bool = True, caption: bool = False
) -> bytes:
    """The bytes of a JPEG with the row in its XMP packet; the same bytes where the packet says it already."""
    jpeg = Jpeg.read(photo)
    _refuse_broken(jpeg)
    old = _packet(jpeg)
    wanted = caption and not _has_caption(jpeg)
    new = merged(old or NEW_PACKET, row, stars=stars, keep_ratings=keep_ratings, caption=wanted, what=WHAT)
    if old is not None and new == rewritten(old, WHAT):
        return photo
    return _with_packet(jpeg, new)


def packet_of(photo: bytes) -> bytes | None:
    """The XMP packet of a JPEG, or None."""
    return _packet(Jpeg.read(photo))


def _has_caption(jpeg: Jpeg) -> bool:
    """Whether a person, or a camera, left one in EXIF or IPTC, which XMP would overrule."""
    exif = Image.Exif()
    try:
        for segment in jpeg.holding(EXIF)[:1]:
            exif.load(jpeg.content(segment))
        in_exif = str(exif.get(ExifTags.Base.ImageDescription, "")).strip("\0 ")
    except BROKEN as error:
        raise PhotoError(f"expected EXIF that can be read, got {error}") from error
    in_iptc = any(re.search(rb"\x1c\x02\x78(?!\0\0)", jpeg.content(one)) for one in jpeg.holding(PHOTOSHOP))
    return bool(in_exif) or in_iptc


# --- what is refused ----------------------------------------------------------------------------------


def _refuse_broken(jpeg: Jpeg) -> None:
    jpeg.end()
    for exif in jpeg.holding(EXIF)[:1]:  # more than 64 KB go on in a second one
        _check_exif(jpeg.content(exif))
    _check_extension(jpeg)


def _check_exif(content: bytes) -> None:
    tiff = content[6:]
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        raise PhotoError(f"expected EXIF that begins as TIFF does, got {tiff[:4]!r}")
    order: Literal["little", "big"] = "little" if tiff[:1] == b"I" else "big"
    first = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[first : first + 2], order)
    if first < 8 or first + 2 + 12 * count > len(tiff):
        raise PhotoError("expected EXIF that can be read, got a list of entries that ends behind it")


def _check_extension(jpeg: Jpeg) -> None:
    """The rest of a packet that did not fit in one segment is kept as it is; nothing of ours may be in it."""
    parts = [jpeg.content(one).removeprefix(EXTENSION) for one in jpeg.holding(EXTENSION)]
    packet = _packet(jpeg) or b""
    told = re.search(rb"HasExtendedXMP\W{1,9}([0-9A-Fa-f]{32})", packet)
    if not told:
        return
    mine = sorted((int.from_bytes(part[36:40]), part) for part in parts if part[:32] == told[1])
    text = b"".join(part[40:] for _, part in mine)
    if not mine or len(text) != int.from_bytes(mine[0][1][32:36]):
        raise PhotoError("expected the whole of an extended XMP packet, got a part of it")
    if holds_ours(text, "an extended XMP packet"):
        raise PhotoError("expected stars and keywords in the main XMP packet, got them in its extension")


def _packet(jpeg: Jpeg) -> bytes | None:
    found = jpeg.holding(XMP)
    if len(found) > 1:
        raise PhotoError(f"expected one XMP packet, got {len(found)}")
    if not found:
        return None
    return jpeg.content(found[0])[len(XMP) :].rstrip(b"\0")  # some programs end it like a C string


# --- the new file -------------------------------------------------------------------------------------


def _with_packet(jpeg: Jpeg, packet: bytes) -> bytes:
    """The new packet in the room of the old one where it fits: then nothing at all moves."""
    if len(packet) > MOST_PACKET:
        raise PhotoError(f"expected an XMP packet of at most {MOST_PACKET} bytes, got {len(packet)}")
    found = jpeg.holding(XMP)
    old = found[0] if found else None
    if old is not None:
        packet = _padded(packet, old.end - old.body - len(XMP))
    place = (old.start, old.end) if old is not None else (jpeg.place_for_xmp,) * 2
    body = XMP + packet
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body
    if len(segment) != place[1] - place[0]:
        _refuse_pointed_at(jpeg, place[0], old)
    return jpeg.data[: place[0]] + segment + jpeg.data[place[1] :]


def _padded(packet: bytes, room: int) -> bytes:
    at = packet.rfind(b"<?xpacket end")
    at = len(packet) if at < 0 else at
    return packet[:at] + b" " * (room - len(packet)) + packet[at:]


def _refuse_pointed_at(jpeg: Jpeg, place: int, old: Segment | None) -> None:
    """What lies behind the picture moves; where something names it by its distance, that must not change."""
    if any(one.start < place for one in jpeg.holding(MORE_PICTURES)):
        raise PhotoError("expected the XMP packet before the list of the file's pictures, got it behind")
    end = jpeg.end()
    trailer = jpeg.data[end:]
    if trailer[-12:-8] in (b"AXS!", b"AXS*"):  # AFCP, of press agencies, counts from the file's beginning
        raise PhotoError("expected notes behind the picture that may move, got AFCP")
    pictures = {found.start() for found in re.finditer(rb"\xff\xd8\xff", trailer)} | (
        {0} if trailer else set()
    )
    for exif in jpeg.holding(EXIF):
        head = exif.body + 6
        if exif.start < place and points_behind(jpeg.content(exif), {end + at - head for at in pictures}):
            raise PhotoError("expected all that EXIF tells of in it, got a preview behind the picture")


class _Full(QInsightError):
    """There is no room for the new file, nor for the next."""


def _own_file(folder: Path, name: str) -> Path:
    """The photo's path, once it is clear that there is one file to change and that it may be changed."""
    path = inside(folder, name)
    open_regular(path).close()
    try:
        if path.resolve() != folder.resolve().joinpath(*path.relative_to(folder).parts):
            raise PhotoError("expected a file of this folder, got a link to another place")
        status = path.stat()
    except OSError as error:
        raise PhotoError(f"expected to read it, got '{error.strerror or error}'") from error
    if status.st_nlink > 1:
        raise PhotoError(f"expected a file with one name, got one with {status.st_nlink} (hard links)")
    for what, place in (("photo", path), ("folder", path.parent)):
        if not place.stat().st_mode & 0o222 or not os.access(place, os.W_OK):
            raise PhotoError(f"expected a {what} that may be written, got a read-only one")
    return path


def _write(path: Path, data: bytes, before: os.stat_result, finished: int) -> None:
    try:
        with whole_file(path, like=before) as file:
            file.write(data)
            file.flush()
            if _changed(before, path.stat()):
                raise PhotoError("expected a photo at rest, got one that another program is changing")
    except OSError as error:
        told = f"expected to write {path}, got '{error.strerror or error}'"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise PhotoError(told) from error
        raise _Full(
            f"{told}; it is unchanged, the {finished} photos before it are done; free some space"
        ) from error


def _changed(before: os.stat_result, now: os.stat_result) -> bool:
    return (before.st_ino, before.st_size, before.st_mtime_ns) != (now.st_ino, now.st_size, now.st_mtime_ns)

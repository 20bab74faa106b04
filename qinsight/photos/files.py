"""What kind of file this is, told from its bytes and not its name, before any pixel is decoded."""

import io
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from qinsight.errors import PhotoError
from qinsight.photos.colour import COLOUR_CHUNKS
from qinsight.sentence import Sentence

# What Pillow's parsers raise on damaged files, found by damaging files at random.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)

Source = str | os.PathLike[str] | bytes | BinaryIO

MOST_BYTES = 300_000_000  # a 45-megapixel 16-bit TIFF, uncompressed, is 270 MB
PIECE = 16 << 20  # a larger read would set aside all of MOST_BYTES for a small file
MOST_SCANS = 200  # ordinary progressive JPEGs have about 10; each one costs a pass over every pixel
MOST_SEGMENTS = 20_000
MOST_JUNK = 65_536  # bytes between segments, which Pillow skips one by one
START_OF_SCAN = 0xDA
MOST_CHUNKS = 1_000_000
MOST_DIRECTORIES = 32

READABLE = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("RAW", re.compile(rb"II\*\0....CR\x02|....ftypcrx |FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR", re.DOTALL)),
    ("RAW", re.compile(rb"\0MRM|FOVb|II....HEAPCCDR|II\*\0....IIII", re.DOTALL)),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("BMP", re.compile(rb"BM")),
)
REFUSED = (
    (Sentence("a JPEG XL photo"), re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    (Sentence("a JPEG 2000 photo"), re.compile(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP")),
    (Sentence("a Photoshop document"), re.compile(rb"8BPS")),
    (Sentence("a GIMP document"), re.compile(rb"gimp xcf")),
    (Sentence("a PDF"), re.compile(rb".{0,1000}?%PDF-", re.DOTALL)),
    (Sentence("a PostScript drawing"), re.compile(rb"%!PS|\xc5\xd0\xd3\xc6")),
    (Sentence("an SVG drawing"), re.compile(rb"\W*(<(\?xml|!--|!doctype svg).*)?<svg[\s>]", re.DOTALL | re.IGNORECASE)),
    (Sentence("a web page"), re.compile(rb"\W*<(!doctype html|html|head|body|script)", re.IGNORECASE)),
    (Sentence("an icon"), re.compile(rb"\0\0[\x01\x02]\0|icns")),
    (Sentence("an HDR image"), re.compile(rb"v/1\x01|#\?R|P[Ff]\n|II\xbc")),
    (Sentence("a Netpbm image"), re.compile(rb"P[1-7]\s")),
    (Sentence("a video"), re.compile(rb"....ftyp|....moov|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]|FLV\x01", re.DOTALL)),
    (Sentence("an archive"), re.compile(rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf|\xfd7zXZ|BZh")),
)  # fmt: skip


def read_bytes(source: Source) -> bytes:
    """All bytes of a file, from its path, its bytes or an open binary file, within the limit."""
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, str | os.PathLike):
        with open_regular(source) as file:
            data = _read_within_limit(file)
    elif hasattr(source, "read"):
        if source.seekable():
            source.seek(0)
        data = _read_within_limit(source)
    else:
        raise TypeError(f"expected a path, bytes or a binary file, got {type(source).__name__}")
    if not data:
        raise PhotoError("expected a photo, got an empty file; copy or export it once more")
    if len(data) > MOST_BYTES:
        raise PhotoError(
            "expected a file of at most {most} MB, got a larger one; save the photo as a JPEG",
            most=MOST_BYTES // 1_000_000,
        )
    return data


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, following symlinks; a pipe or device is refused without waiting for it."""
    # O_NONBLOCK: without it, opening a FIFO waits for ever for somebody to write.
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        if Path(path).is_dir():
            raise PhotoError("expected a photo, got a folder; name one photo in it")
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise PhotoError("expected a photo, but there is no such file; check its name") from error
    except PermissionError as error:
        raise PhotoError("expected a photo, but this file may not be read; check its permissions") from error
    except (OSError, ValueError) as error:  # a loop of links, a name too long, a NUL in the name
        raise PhotoError("expected a photo, but this file cannot be opened; check its name") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PhotoError("expected a photo file, got a pipe or a device; save the photo to a file first")
    return os.fdopen(descriptor, "rb")


def recognise(data: bytes) -> str:
    """One of JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIC or RAW; `PhotoError` names everything else."""
    head = data[:2048]
    if name := _photo_in_boxes(head):
        return name
    for name, magic in READABLE:
        if magic.match(head):
            return "RAW" if name == "TIFF" and is_raw_tiff(data) else name
    for name, magic in REFUSED:
        if magic.match(head):
            raise PhotoError("expected a photo, got {name}; export it as JPEG, PNG or WebP", name=name)
    raise PhotoError(
        "expected a photo, got a file of another kind; try JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF"
    )


def check_jpeg(data: bytes) -> None:
    """Refuse a JPEG made to keep its readers busy: hundreds of scans, or masses of junk before the first."""
    scans = 0
    for count, (kind, skipped) in enumerate(_jpeg_segments(data)):
        scans += kind == START_OF_SCAN
        if scans > MOST_SCANS:
            raise PhotoError(
                "expected a JPEG of at most {most} scans, got one with more; save it again as a JPEG",
                most=MOST_SCANS,
            )
        if count > MOST_SEGMENTS or (not scans and skipped > MOST_JUNK):
            break
    else:
        if scans:
            return
    raise PhotoError("expected a complete JPEG file, got one that is damaged; export it once more")


def strip_png(data: bytes) -> tuple[bytes, dict[bytes, bytes | None], int]:
    """A PNG with only its picture and EXIF left, its colour chunks (None: damaged), and its number of frames.

    Texts are never unpacked, so they cannot be bombs, and a damaged side chunk does no harm;
    Pillow would refuse such files, and profiles above 1 MiB, which cameras and scanners do write.
    """
    kept, colours, frames, at = [data[:8]], dict[bytes, bytes | None](), 1, 8
    pixels_begun = False
    for kind, chunk in _png_chunks(data):
        at += len(chunk)
        if kind[:1].isupper():  # the picture itself, which Pillow checks
            kept.append(chunk)
            pixels_begun = pixels_begun or kind == b"IDAT"
        elif kind == b"acTL" and len(chunk) == 20:
            frames = int.from_bytes(chunk[8:12])
        elif kind in (b"tRNS", b"eXIf") and _whole(chunk):
            kept.append(chunk)
        elif kind in COLOUR_CHUNKS and not pixels_begun:
            colours.setdefault(kind, chunk[8:-4] if _whole(chunk) else None)
    return b"".join([*kept, data[at:]]), colours, frames


def _whole(chunk: bytes) -> bool:
    return chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))


def is_raw_tiff(data: bytes) -> bool:
    """Whether a TIFF is the raw file of a camera; Pillow would show its thumbnail."""
    directories = [tags for _, tags in _tiff_directories(data)]
    if not directories:
        return False
    first = directories[0]
    width, height = _number(first, 256), _number(first, 257)
    more_than_this = 330 in first or len(data) > 12 * width * height
    camera_thumbnail = 271 in first and max(width, height) <= 640 and more_than_this
    return camera_thumbnail or any(
        50706 in tags  # DNGVersion
        or 33422 in tags  # CFAPattern
        or _number(tags, 262) in (32803, 34892)  # photometric: colour filter array, linear raw
        or _number(tags, 259) in (32767, 34713, 65000, 65535)  # compression: Sony, Nikon, Kodak, Pentax
        for tags in directories
    )


def full_size_tiff(data: bytes) -> bytes:
    """The TIFF with its first full-size picture in front, where Pillow looks; it is often there already."""
    offsets = []
    for offset, tags in _tiff_directories(data):
        offsets.append(offset)
        if not (_number(tags, 254) & 1 or _number(tags, 255) == 2):  # NewSubfileType, SubfileType: reduced
            break
    else:
        if offsets:
            raise PhotoError(
                "expected a photo, got a TIFF with only a reduced preview in it; export it again"
            )
    if len(offsets) < 2:
        return data
    order = "<" if data[:1] == b"I" else ">"
    if data[2:4].strip(b"\0") == b"+":
        return data[:8] + struct.pack(order + "Q", offsets[-1]) + data[16:]
    return data[:4] + struct.pack(order + "I", offsets[-1]) + data[8:]


def _read_within_limit(file: BinaryIO) -> bytes:
    parts, room = [], MOST_BYTES + 1
    try:
        while room > 0 and (part := file.read(min(room, PIECE))):
            if not isinstance(part, bytes):
                raise TypeError(f"expected a file opened in binary mode, got {type(part).__name__} from it")
            parts.append(part)
            room -= len(part)
    except OSError as error:
        raise PhotoError(
            "expected a photo, but the file cannot be read; copy it to this computer first"
        ) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _photo_in_boxes(head: bytes) -> str | None:
    """AVIF or HEIC, by the brands in the first box of an ISO file."""
    if head[4:8] != b"ftyp" or head[8:12] == b"crx ":
        return None
    end = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return "HEIC"
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Each marker of a JPEG with the number of bytes before it, as far as its decoder will go."""
    marker = re.compile(rb"\xff([^\0\xff\xd0-\xd7])")  # FF 00 and FF D0..D7 belong to a scan's pixels
    at, components, progressive = 2, 0, False
    while found := marker.search(data, at):
        kind, skipped, at = found[1][0], found.start() - at, found.end()
        if kind == 0xD9:  # the end: thumbnails, videos and second photos may follow
            return
        yield kind, skipped
        if kind in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA) and at + 8 <= len(data):
            components, progressive = data[at + 7], kind in (0xC2, 0xCA)
        elif kind == START_OF_SCAN and not progressive and data[at + 2 : at + 3] == bytes([components]):
            return  # all colours in one sequential scan: the decoder stops after it, and so can we
        if kind not in (0x01, 0xD8):  # all others have a length
            at += int.from_bytes(data[at : at + 2])


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    for _ in range(MOST_CHUNKS):
        if at + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + 12 + length]
        at += 12 + length
        if kind == b"IEND":
            return


def _tiff_directories(data: bytes) -> Iterator[tuple[int, ImageFileDirectory_v2]]:
    """Each directory of a TIFF with its offset, sub-directories (tag 330) right after their parent."""
    head = data[: 16 if data[2:4].strip(b"\0") == b"+" else 8]
    file, seen = io.BytesIO(data), set[int]()
    try:
        waiting = [ImageFileDirectory_v2(head).next]
        while waiting and len(seen) < MOST_DIRECTORIES:
            offset = waiting.pop(0)
            if offset in seen or not 0 < offset < len(data):
                continue
            seen.add(offset)
            file.seek(offset)
            tags = ImageFileDirectory_v2(head)
            tags.load(file)
            yield offset, tags
            within = tags.get(330, ())
            waiting = [*(within if isinstance(within, tuple) else (within,)), tags.next, *waiting]
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error):
        return  # what follows is unreadable; Pillow judges what came before


def _number(tags: ImageFileDirectory_v2, code: int) -> int:
    value = tags.get(code, 0)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else 0

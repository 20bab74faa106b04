"""TIFFs and a RAW made here: no library writes the odd ones."""

import struct

import numpy as np


def short(*values: int) -> tuple[int, str, tuple[int, ...]]:
    return 3, "H", values


def long(*values: int) -> tuple[int, str, tuple[int, ...]]:
    return 4, "I", values


def text(words: bytes) -> tuple[int, str, tuple[int, ...]]:
    return 2, "B", tuple(words + b"\0")


def octets(*values: int) -> tuple[int, str, tuple[int, ...]]:
    return 1, "B", values


def ratios(*values: float) -> tuple[int, str, tuple[int, ...]]:
    return 10, "ii", tuple(number for value in values for number in (round(value * 10_000), 10_000))


def picture_tags(width: int, height: int, *, bits: tuple[int, ...] = (8, 8, 8), photometric: int = 2) -> dict:
    return {
        256: long(width), 257: long(height), 258: short(*bits), 259: short(1),
        262: short(photometric), 277: short(len(bits)), 278: long(height),
    }  # fmt: skip


def tiff(*pages: tuple, order: str = "<") -> bytes:
    """Each page is its tags, its strips, and perhaps a page that belongs to it (tag 330)."""
    file = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    link = 4
    for page in pages:
        link = _append_page(file, order, link, *page)
    return bytes(file)


def _append_page(
    file: bytearray, order: str, link: int, tags: dict, strips: list[bytes], inner: tuple = ()
) -> int:
    """Let `link` point at the new page, and return where the next one is to be linked."""
    starts = []
    for strip in strips:
        starts.append(len(file))
        file += strip
    tags = tags | {273: long(*starts), 279: long(*map(len, strips))}
    if inner:
        link_inside = len(file)
        file += bytes(4)
        _append_page(file, order, link_inside, *inner)
        tags[330] = long(*struct.unpack_from(order + "I", file, link_inside))
    entries = b""
    for tag, (kind, layout, values) in sorted(tags.items()):
        raw = struct.pack(order + "".join(layout) * (len(values) // len(layout)), *values)
        entries += struct.pack(order + "HHI", tag, kind, len(values) // len(layout))
        if len(raw) > 4:
            entries += struct.pack(order + "I", len(file))
            file += raw
        else:
            entries += raw.ljust(4, b"\0")
    struct.pack_into(order + "I", file, link, len(file))
    file += struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return len(file) - 4


def raw_photo(*, preview: bytes = b"", orientation: int = 1) -> bytes:
    """A 256 x 192 DNG, dark on the left and bright on the right, with a thumbnail in front."""
    sensor = np.full((192, 256), 2000, "<u2")
    sensor[:, 128:] = 30_000
    camera = {
        271: text(b"Q"), 272: text(b"Q1"), 274: short(orientation), 50706: octets(1, 4, 0, 0), 50708: text(b"Q Q1"),
        50721: ratios(1, 0, 0, 0, 1, 0, 0, 0, 1), 50778: short(21),
    }  # fmt: skip
    mosaic = picture_tags(256, 192, bits=(16,), photometric=32803) | {
        254: long(0), 33421: short(2, 2), 33422: octets(0, 1, 1, 2), 50717: long(65535),
    }  # fmt: skip
    pages = [
        (picture_tags(64, 48) | {254: long(1)} | camera, [bytes(64 * 48 * 3)], (mosaic, [sensor.tobytes()]))
    ]
    if preview:
        shown = picture_tags(256, 192, photometric=6) | {254: long(1), 259: short(7)}
        pages.append((shown, [preview]))
    return tiff(*pages)

"""What a PNG says about its colours: which of its chunks counts, as an ICC profile that means the same.

PNG, third edition, 4.3: cICP before iCCP before sRGB before gAMA and cHRM. A chunk that is damaged, or that means
colours which sRGB cannot show as they are meant, gives way to the next, with a remark.
"""

import io
import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from PIL import ImageCms

from qinsight.sentence import Sentence

COLOUR_CHUNKS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
MOST_PROFILE_BYTES = 8 << 20
SRGB_GAMMA = (0.45, 0.46)  # written beside sRGB's own curve for programs that know no sRGB chunk

Point = tuple[float, float]
Primaries = tuple[Point, Point, Point, Point]  # x and y of white, red, green, blue
Curve = tuple[float, ...]  # exponent g, or g, a, b, c, d of ICC's parametric curve 3

D65, C, DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
SRGB: Primaries = (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
BT1886_CURVE = (2.4,)  # how a display shows BT.709 and BT.2020; Chromium draws such PNGs so, too
NTSC: Primaries = (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
P3_TRIANGLE = (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)

# ITU-T H.273, tables 2 and 3: the code of a cICP chunk, its name and what it means.
PRIMARIES: dict[int, tuple[str, Primaries]] = {
    1: ("BT.709", SRGB),
    4: ("BT.470 M", (C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08))),
    5: ("BT.470 BG", (D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06))),
    6: ("BT.601", NTSC),
    7: ("SMPTE 240M", NTSC),
    8: ("film", (C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049))),
    9: ("BT.2020", (D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
    11: ("DCI P3", (DCI, *P3_TRIANGLE)),
    12: ("Display P3", (D65, *P3_TRIANGLE)),
    22: ("EBU 3213", (D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077))),
}
CURVES: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 14, 15), BT1886_CURVE),
    4: (2.2,),
    5: (2.8,),
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913),
    8: (1.0,),
    13: SRGB_CURVE,
}
HDR = {16: "HDR (PQ)", 18: "HDR (HLG)"}


class Colours(NamedTuple):
    """The profile that makes a PNG's pixels sRGB, None where they are that already, and remarks about it.

    `name` is what to call the profile, where that is not what it calls itself.
    """

    profile: bytes | None = None
    remarks: tuple[Sentence, ...] = ()
    name: Sentence | None = None


def colours_of(chunks: Mapping[bytes, bytes | None]) -> Colours:
    """What the colour chunks of a PNG say; None stands for the content of a chunk that is damaged."""
    found = {kind: content for kind, content in chunks.items() if content is not None}
    remarks = [_ignored(kind) for kind in COLOUR_CHUNKS if kind in chunks and kind not in found]
    for kind, read in _READERS.items():
        while kind in found:
            try:
                return read(found)._replace(remarks=tuple(remarks))
            except _NotConvertedError as error:
                remarks.append(Sentence("{colours} colours are not converted", colours=error.colours))
                del found[kind]
            except _DamagedError as error:
                remarks.append(_ignored(error.kind))
                del found[error.kind]
    return Colours(None, tuple(remarks))


def _ignored(kind: bytes) -> Sentence:
    return Sentence("colour chunk {chunk} damaged, ignored", chunk=kind.decode())


class _DamagedError(Exception):
    """A chunk whose content means nothing."""

    def __init__(self, kind: bytes) -> None:
        self.kind = kind


class _NotConvertedError(Exception):
    """Colours that are meant otherwise than sRGB can show them, by name."""

    def __init__(self, colours: str) -> None:
        self.colours = colours


_Found = Mapping[bytes, bytes]


def _cicp(found: _Found) -> Colours:
    if len(found[b"cICP"]) != 4:
        raise _DamagedError(b"cICP")
    primaries, transfer, matrix, full_range = found[b"cICP"]
    if transfer in HDR:
        raise _NotConvertedError(HDR[transfer])
    if full_range == 0:
        raise _NotConvertedError(Sentence("narrow-range"))
    if primaries not in PRIMARIES or transfer not in CURVES or matrix != 0 or full_range != 1:
        raise _NotConvertedError(f"cICP {primaries}, {transfer}, {matrix}, {full_range}")
    name, points = PRIMARIES[primaries]
    return Colours(matrix_profile(name, points, CURVES[transfer]))


def _iccp(found: _Found) -> Colours:
    """The profile as it is packed; one that does not open gives way to what else the file says."""
    profile = _inflated(found[b"iCCP"].partition(b"\0")[2][1:])
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except OSError as error:
        if b"sRGB" in found or b"gAMA" in found or b"cHRM" in found:
            raise _DamagedError(b"iCCP") from error
    return Colours(profile)


def _srgb(found: _Found) -> Colours:
    if len(found[b"sRGB"]) != 1 or found[b"sRGB"][0] > 3:
        raise _DamagedError(b"sRGB")
    return Colours()


def _gama(found: _Found) -> Colours:
    if len(found[b"gAMA"]) != 4 or not 1000 <= int.from_bytes(found[b"gAMA"]) <= 1_000_000:
        raise _DamagedError(b"gAMA")
    gamma = int.from_bytes(found[b"gAMA"]) / 100_000
    primaries = _points(found[b"cHRM"]) if b"cHRM" in found else SRGB
    if primaries == SRGB and SRGB_GAMMA[0] <= gamma <= SRGB_GAMMA[1]:
        return Colours()
    if primaries == SRGB:
        name = Sentence("gamma {gamma:.4g}", gamma=gamma)
    else:
        name = Sentence("gamma {gamma:.4g} and primaries of its own", gamma=gamma)
    return Colours(matrix_profile(name, primaries, (1 / gamma,)), name=name)


def _chrm(found: _Found) -> Colours:
    """Without gAMA it says too little, and browsers pass it over."""
    if _points(found[b"cHRM"]) != SRGB:
        raise _NotConvertedError("cHRM-only")
    return Colours()


_READERS = {b"cICP": _cicp, b"iCCP": _iccp, b"sRGB": _srgb, b"gAMA": _gama, b"cHRM": _chrm}


def _inflated(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed, MOST_PROFILE_BYTES)
    except zlib.error as error:
        raise _DamagedError(b"iCCP") from error
    if unpacker.unconsumed_tail or not profile:
        raise _DamagedError(b"iCCP")
    return profile


def _points(content: bytes) -> Primaries:
    """White, red, green and blue of a cHRM chunk; sRGB's own where they are meant."""
    if len(content) != 32:
        raise _DamagedError(b"cHRM")
    numbers = [number / 100_000 for number in struct.unpack(">8I", content)]
    white, red, green, blue = zip(numbers[::2], numbers[1::2], strict=True)
    if all(abs(x - y) < 0.002 for x, y in zip(numbers, sum(SRGB, ()), strict=True)):
        return SRGB
    area = (red[0] - blue[0]) * (green[1] - blue[1]) - (green[0] - blue[0]) * (red[1] - blue[1])
    if not all(0 < y <= 1 and x <= 1 for x, y in (white, red, green, blue)) or abs(area) < 0.01:
        raise _DamagedError(b"cHRM")
    return white, red, green, blue


# --- profiles -----------------------------------------------------------------------------------------------

D50 = (0.9642, 1.0, 0.8249)
BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def matrix_profile(name: str, primaries: Primaries, curve: Curve) -> bytes | None:
    """An ICC profile of three primaries and one curve; None for sRGB itself."""
    if primaries == SRGB and curve == SRGB_CURVE:
        return None
    words = name.encode("utf-16-be")
    described = struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(words), 28) + words
    tags = [(b"desc", described), (b"cprt", described), (b"wtpt", _xyz(D50))]
    tags += zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, _colorants(primaries)), strict=True)
    kind = 0 if len(curve) == 1 else 3
    told = struct.pack(">4sIHH", b"para", 0, kind, 0) + b"".join(map(_fixed, curve))
    tags += [(channel, told) for channel in (b"rTRC", b"gTRC", b"bTRC")]
    return _assembled(tags)


def _colorants(primaries: Primaries) -> list[tuple[float, ...]]:
    """XYZ of full red, green and blue, adapted to ICC's D50 by Bradford's method."""
    import numpy as np

    white, *colours = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in primaries)
    triangle = np.stack(colours, axis=1)
    triangle = triangle * np.linalg.solve(triangle, white)
    cones = np.array(BRADFORD)
    adapted = np.linalg.inv(cones) @ np.diag((cones @ D50) / (cones @ white)) @ cones @ triangle
    return [tuple(column) for column in adapted.T.tolist()]


def _assembled(tags: list[tuple[bytes, bytes]]) -> bytes:
    table, content = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for kind, data in tags:
        table += struct.pack(">4sII", kind, start + len(content), len(data))
        content += data.ljust(-(-len(data) // 4) * 4, b"\0")
    head = struct.pack(
        ">I4xI4s4s4s12x4s", start + len(content), 0x04300000, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    return head.ljust(68, b"\0") + b"".join(map(_fixed, D50)) + bytes(48) + table + content


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))

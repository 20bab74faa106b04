"""Profiles made here, and what they mean by the CIE's own formulas."""

import struct

import numpy as np
from PIL import Image

P3 = [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)]


def matrix_profile(primaries: list[tuple[float, float]] | None, gamma: float) -> bytes:
    """An ICC profile: a colour space with these primaries and D65 white, or a gray one."""
    curve = b"curv" + struct.pack(">IIH2x", 0, 1, round(gamma * 256))
    name = b"desc" + struct.pack(">II", 0, 5) + b"Test\0" + bytes(78 + 3)
    tags = {b"desc": name, b"wtpt": _xyz(D50)}
    if primaries is None:
        tags[b"kTRC"] = curve
        return _profile(b"mntr", b"GRAY", b"XYZ ", tags)
    to_d50 = BRADFORD_D65_TO_D50 @ to_xyz(primaries)
    for letter, column in zip(b"rgb", to_d50.T, strict=True):
        tags |= {bytes([letter]) + b"XYZ": _xyz(column), bytes([letter]) + b"TRC": curve}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def ink_profile(cyan_lab: tuple[float, float, float]) -> bytes:
    """An ICC profile for ink: paper is white, cyan alone is this colour, all else is black."""
    colours = [(100, 0, 0), *[(0, 0, 0)] * 15]  # C is the slowest of the four, so cyan alone is number 8
    colours[8] = cyan_lab
    ramp = bytes(range(256))
    table = bytes(value for L, a, b in colours for value in (round(L * 2.55), a + 128, b + 128))
    identity = struct.pack(">9i", *[65536, 0, 0, 0, 65536, 0, 0, 0, 65536])
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + table + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": lut})


def to_srgb_by_hand(pixels: np.ndarray, primaries: list[tuple[float, float]], gamma: float) -> Image.Image:
    linear = (pixels / 255) ** gamma @ (np.linalg.inv(to_xyz(SRGB_PRIMARIES)) @ to_xyz(primaries)).T
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.round(encoded * 255).astype(np.uint8))


def to_xyz(primaries: list[tuple[float, float]]) -> np.ndarray:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, [0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])


SRGB_PRIMARIES = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)]
D50 = (0.9642, 1.0, 0.8249)
BRADFORD_D65_TO_D50 = np.array(
    [[1.0479, 0.0229, -0.0502], [0.0296, 0.9904, -0.0171], [-0.0092, 0.0151, 0.7517]]
)  # www.brucelindbloom.com, "Chromatic Adaptation"


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *[round(value * 65536) for value in values])


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    at, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s28x", at + len(body), 0x02400000, kind, space, connection, b"acsp")
    return (
        (head + struct.pack(">3i", *[round(value * 65536) for value in D50])).ljust(128, b"\0") + table + body
    )

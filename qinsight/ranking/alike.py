"""Bursts and brackets, told in one place: which frames show the same, and which of those differ in exposure on purpose.

A burst is frames that look alike, close in time; one of them is the best. A bracket is frames that look alike once their
exposure is matched, and differ in it: none of them is the best, and none is rejected.

A perceptual hash need not see a bracket: others found a frame of two stops more to differ in 61 of its 64 bits. What
stays the same under any exposure is where a place is brighter than the places around it; compared on a small grid, of
60 photographs moved by hand, made brighter or darker and noisy, 19 in 20 agree by more than 0.5 where anything was
left between black and white, and of 180 pairs of different photographs 99 in 100 by less than 0.25.
"""

import base64
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from qinsight.ranking.rows import Row

NEAR = 6  # of the 64 bits of a perceptual hash: frames of a burst differ by no more, or by ...
FARTHER = 10  # ... no more than this, where the grids correlate by ...
SAME_PLACES = 0.5  # ... at least this
NEIGHBOURS = 12  # how many frames back a burst is looked for, in order of name
MOST_SECONDS = 60.0  # between two frames of one burst or bracket, where both tell the time

SIDE = 16  # of the grid
GAMMA = 2.2
BLACK, WHITE = 6, 249  # beyond, a place tells nothing
LEAST_PLACES = 40  # of the grid, between black and white in both frames
LEAST_TEXTURE = 0.02  # stops between a place and those around it: below, noise decides
ALIKE = 0.35  # correlation
ONE_WAY = 0.85  # of the places, all brighter or all darker: another exposure, not another moment

STEPS_BACK = 2  # frames in order of name: a bracket goes in steps, the light of an evening does not
BY_LOOK = (
    0.6  # stops, where no exposure is told; without meaning to, a camera changes by less from frame to frame
)
DESPITE_EXIF = 1.0  # stops, where the same exposure is told: a lamp that flickers changes by less
BY_EXIF = 0.25  # stops of compensation, or of exposure while the camera brackets
BY_BOTH = 0.5  # stops of exposure where the picture follows
BY_EXIF_ALONE = 0.9  # stops of exposure: automatic exposure follows the light by less from frame to frame
FOLLOWS = 0.6  # of what the exposure changed: the light did not change as much the other way


class _Compared(NamedTuple):
    likeness: float | None  # a correlation; None where too little lies between black and white to tell
    stops: float  # how much brighter the first is


def tones_of(image: Image.Image) -> str:
    """The small grid of luma by which frames are compared under any exposure, for a row."""
    grid = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return base64.b64encode(grid.tobytes()).decode()


def grouped(rows: Sequence[Row], standing: Any) -> list[Row]:
    """Frames of one burst or bracket get a common number; the best of a burst is marked, by `standing`."""
    rows = sorted(rows, key=lambda row: row.photo)
    seen = [_Seen(row) for row in rows]
    group = list(range(len(rows)))
    for here, there in _pairs(len(rows), NEIGHBOURS):
        if seen[here].belongs_to(seen[there], here - there):
            if group[here] == here:
                group[here] = group[there]
            elif group[here] != group[there]:  # it joins two sets
                group = [group[there] if number == group[here] else number for number in group]
    members: dict[int, list[int]] = {}
    for place, number in enumerate(group):
        members.setdefault(number, []).append(place)
    found = list(rows)
    sets = [places for places in members.values() if len(places) > 1]
    for number, places in enumerate(sets, start=1):
        bracket = _is_bracket([seen[place] for place in places])
        best = None if bracket else min(places, key=lambda place: standing(rows[place]))
        for place in places:
            found[place] = replace(rows[place], group=number, best=place == best, bracket=bracket)
    return found


class _Seen:
    """A row with what it is compared by, read once."""

    def __init__(self, row: Row) -> None:
        import imagehash

        self.row = row
        self.folder = PurePosixPath(row.photo).parent
        self.hash = imagehash.hex_to_hash(row.phash) if row.phash else None
        self.time = _time(row.taken)
        self.grid = _grid(row.tones)

    def belongs_to(self, other: "_Seen", apart: int) -> bool:
        """Whether both are frames of one burst or bracket; `apart` is how many names lie between them, and one."""
        if self.folder != other.folder or not self._close_in_time(other):
            return False
        if self._looks_like(other):
            return True
        if apart > STEPS_BACK or not self.differs(other):
            return False
        likeness = self._compared(other).likeness
        # Where one is all black or white, the camera's word has to do.
        return self._told_stops(other) >= BY_EXIF_ALONE if likeness is None else likeness >= ALIKE

    def _looks_like(self, other: "_Seen") -> bool:
        """Whether both show the same at the same exposure. A hand that moves turns bits of the hash, but not every place."""
        if self.hash is None or other.hash is None:
            return False
        bits = self.hash - other.hash
        if bits <= NEAR or bits > FARTHER:
            return bits <= NEAR
        return (self._compared(other).likeness or 0.0) >= SAME_PLACES

    def differs(self, other: "_Seen") -> bool:
        """Whether the exposures of two frames that look alike differ on purpose."""
        bias = _difference(self.row.bias, other.row.bias)
        told = _difference(self.row.exposure, other.row.exposure)
        seen = self._compared(other).stops
        if bias is None and told is None:
            return abs(seen) >= BY_LOOK
        if abs(bias or 0) >= BY_EXIF or abs(told or 0) >= BY_EXIF_ALONE or abs(seen) >= DESPITE_EXIF:
            return True
        if self.row.bracketing and other.row.bracketing:
            return abs(told or 0) >= BY_EXIF
        return told is not None and abs(told) >= BY_BOTH and seen / told >= FOLLOWS

    def _told_stops(self, other: "_Seen") -> float:
        differences = [
            _difference(self.row.bias, other.row.bias),
            _difference(self.row.exposure, other.row.exposure),
        ]
        return max(abs(stops or 0) for stops in differences)

    def _close_in_time(self, other: "_Seen") -> bool:
        return self.time is None or other.time is None or abs(self.time - other.time) <= MOST_SECONDS

    def _compared(self, other: "_Seen") -> _Compared:
        return _compare(self.grid, other.grid)


def _is_bracket(frames: Sequence[_Seen]) -> bool:
    return any(frames[here].differs(frames[there]) for here, there in _pairs(len(frames), STEPS_BACK))


def _pairs(count: int, back: int) -> Any:
    return itertools.chain.from_iterable(
        ((place, before) for before in range(max(0, place - back), place)) for place in range(count)
    )


def _compare(one: Any, other: Any) -> _Compared:
    if one is None or other is None:
        return _Compared(None, 0.0)
    usable = (np.minimum(one, other) > BLACK) & (np.maximum(one, other) < WHITE)
    if usable.sum() < LEAST_PLACES:
        return _Compared(None, 0.0)
    here, there = (GAMMA * np.log2(np.maximum(grid, 1)) for grid in (one, other))
    apart = (here - there)[usable]
    up = float((apart > 0).mean())
    stops = float(np.median(apart))
    if max(up, 1 - up) >= ONE_WAY:  # of a curve, the middle tones may change more than the others
        stops = math.copysign(float(np.percentile(np.abs(apart), 75)), stops)
    textures = [_texture(grid)[usable] for grid in (here, there)]
    if min(float(texture.std()) for texture in textures) < LEAST_TEXTURE:
        return _Compared(0.0, stops)
    return _Compared(float(np.corrcoef(*textures)[0, 1]), stops)


def _texture(grid: Any) -> Any:
    """How much brighter each place is than the nine around and at it."""
    padded = np.pad(grid, 1, "edge")
    shifts = itertools.product(range(3), repeat=2)
    return grid - sum(padded[down : down + SIDE, right : right + SIDE] for down, right in shifts) / 9


def _grid(tones: str | None) -> Any:
    """None where a row has none: an earlier version's, or one that somebody edited."""
    try:
        values = np.frombuffer(base64.b64decode(tones or ""), np.uint8)
    except ValueError:
        return None
    return values.reshape(SIDE, SIDE).astype(np.float32) if values.size == SIDE**2 else None


def _time(taken: str | None) -> float | None:
    """In seconds; only differences mean something, since cameras do not say where on Earth their clock is right."""
    try:
        return datetime.fromisoformat(taken).timestamp() if taken else None
    except (ValueError, OSError, OverflowError):
        return None


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other

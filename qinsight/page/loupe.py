"""The loupe's half on the server: an original's own pixels in tiles, asked for by an opaque number and never by a path.

What is shown at 100 % is what `load_photo` gives. A photo is decoded once, in a process of its own, and its pixels are
kept while they are looked at, up to `KEPT` bytes; they go with the upload.
"""

import contextlib
import io
import json
import os
import re
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from qinsight.errors import PhotoError
from qinsight.page.form import Refused
from qinsight.page.lean import style
from qinsight.page.table import Seen
from qinsight.page.uploads import EXPIRED, Darkroom, inside_uploads, name_of
from qinsight.photos.view import view_size

TILE = 512  # pixels each way
KEPT = 600_000_000  # bytes of decoded photos and their smaller sizes; of a larger photo only that one is kept
REMEMBERED = 20_000  # photos that have a number
BLOWN, BLOCKED = 254, 2  # any channel from here up has lost its drawing; every channel down to here has
BINS = 64  # of the histogram
AT_ONCE = 4  # answers that are made at a time
WAITING = 24  # of one visitor; a browser has six on their way
ALIVE = 64  # numbers in one sign of life

CSS = style("loupe.css")

ADDRESS = re.compile(r"loupe/([A-Za-z0-9_-]{16,64})(?:/(\d{1,2})/(\d{1,3})/(\d{1,3})\.png)?")
SIGN_OF_LIFE = re.compile(r"loupe/alive/([A-Za-z0-9_,-]{1,4096})")


@dataclass(eq=False)
class _Original:
    """A decoded photo, halved as often as somebody looked from further away."""

    image: Image.Image
    halved: dict[int, Image.Image] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def bytes(self) -> int:
        return 4 * self.image.width * self.image.height  # all halves together are a third of the whole

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the browser needs to know before it asks for a tile."""
        (width, height), counts, wide = self.image.size, self.image.histogram(), 256 // BINS
        bins = [sum(counts[start : start + wide]) for start in range(0, 3 * 256, wide)]
        red, green, blue = self.image.split()
        lightest = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
        return {
            "width": width,
            "height": height,
            "levels": levels(width, height),
            "tile": TILE,
            "histogram": [bins[start : start + BINS] for start in range(0, 3 * BINS, BINS)],
            "blown": sum(lightest[BLOWN:]) / (width * height),
            "blocked": sum(lightest[: BLOCKED + 1]) / (width * height),
            "limits": [BLOWN, BLOCKED],
        }

    def at(self, level: int) -> Image.Image:
        """The photo halved that often, each pixel the mean of those it stands for."""
        if not level:
            return self.image
        with self.lock:
            if level not in self.halved:
                self.halved[level] = self.image.reduce(1 << level)
            return self.halved[level]


def levels(width: int, height: int) -> int:
    """How often a photo is halved until one tile shows all of it."""
    count = 0
    while max(width, height) > TILE << count:
        count += 1
    return count


class Loupes:
    """Which photos may be looked at, by number, and the pixels of those that are."""

    def __init__(self, darkroom: Darkroom) -> None:
        self._darkroom = darkroom
        self._paths: OrderedDict[str, str] = OrderedDict()
        self._numbers: dict[str, str] = {}
        self._originals: OrderedDict[str, _Original] = OrderedDict()
        self._coming: dict[str, threading.Lock] = {}
        self._asking: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.elsewhere: Callable[[str], Path | None] = lambda number: None
        """Finds a photo that has a number of another kind: a frame of a shoot."""
        self.workers = ThreadPoolExecutor(AT_ONCE, "qinsight-loupe")

    def number(self, path: str) -> str:
        """The number under which this photo may be looked at from now on: nobody can guess another's."""
        with self._lock:
            number = self._numbers.setdefault(path, secrets.token_urlsafe(16))
            self._paths[number] = path
            self._paths.move_to_end(number)
            while len(self._paths) > REMEMBERED:
                self._forget(next(iter(self._paths)))
        return number

    def path(self, number: str) -> str | None:
        """The photo of that number; None where there is none, or no longer."""
        return self._paths.get(number)

    def image(self, number: str) -> Image.Image:
        """The photo's own pixels, decoded now or before; `PhotoError` where it is gone."""
        return self._original(number).image

    def answer(self, api: str, visitor: str, max_pixels: int) -> tuple[bytes, bytes]:
        """Media type and body for what `api` asks: the facts of a photo or one of its tiles.

        `PhotoError` with a sentence where there is none, or no longer; `Refused` where too much is asked for.
        """
        found = ADDRESS.fullmatch(api)
        if found is None:
            raise PhotoError(EXPIRED)
        with self._place(visitor):
            original = self._original(found[1])
            if found[2] is None:
                return b"application/json", json.dumps(self._facts(original, max_pixels)).encode()
            return b"image/png", _tile(original, *map(int, found.groups()[1:]))

    def _facts(self, original: _Original, max_pixels: int) -> dict[str, Any]:
        return {**original.facts, "seen": view_size(*original.image.size, max_pixels)}

    def sign_of_life(self, numbers: Iterable[str]) -> None:
        """These photos lie on a page that is open: their uploads are kept for another while."""
        for number in [*numbers][:ALIVE]:
            path = self._paths.get(number)
            if path is not None and inside_uploads(path):
                with contextlib.suppress(OSError):  # gone meanwhile
                    os.utime(path)

    def sweep(self) -> None:
        """Forget the pixels and the numbers of photos whose files are gone."""
        with self._lock:
            for number, path in [*self._paths.items()]:
                if not os.path.isfile(path):
                    self._forget(number)

    def _forget(self, number: str) -> None:
        self._numbers.pop(self._paths.pop(number), None)
        self._originals.pop(number, None)
        self._coming.pop(number, None)

    def _place(self, visitor: str) -> "_Place":
        return _Place(self._asking, self._lock, visitor)

    def _original(self, number: str) -> _Original:
        """The photo's pixels, decoded now or before; whoever asks meanwhile waits for the same ones."""
        with self._lock:
            path = self._paths.get(number) or str(self.elsewhere(number) or "")
            coming = self._coming.setdefault(number, threading.Lock()) if path else threading.Lock()
        if not os.path.isfile(path):
            self.sweep()
            raise PhotoError(EXPIRED)
        with coming:
            with self._lock:
                if number in self._originals:
                    self._originals.move_to_end(number)
                    return self._originals[number]
            original = _Original(self._darkroom.whole(path).image)
            with self._lock:
                self._originals[number] = original
                while len(self._originals) > 1 and sum(one.bytes for one in self._originals.values()) > KEPT:
                    self._originals.popitem(last=False)
        return original


def look(loupes: Loupes, path: str | None, seen: Seen, called: str = "photo") -> dict[str, Any] | None:
    """What table.js puts over a photo's box: its loupe, or why it is no photo; None where nothing lies there.

    `called` is the key of the photo's name, by which an error names it.
    """
    if path is None:
        return None
    name = name_of(path)
    if seen.refused == called:
        return {"refused": seen.problem, "name": name}
    return {"photo": loupes.number(path), "name": name}


@dataclass(frozen=True)
class _Place:
    """One of the answers that a visitor may wait for at a time."""

    asking: Counter[str]
    lock: threading.Lock
    visitor: str

    def __enter__(self) -> None:
        with self.lock:
            if self.asking[self.visitor] >= WAITING:
                raise Refused(429, "Expected fewer questions at a time. Please wait for the answers.")
            self.asking[self.visitor] += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.asking[self.visitor] -= 1
            if not self.asking[self.visitor]:
                del self.asking[self.visitor]


def _tile(original: _Original, level: int, column: int, row: int) -> bytes:
    """A tile as a PNG: no pixel of it differs from the photo's."""
    left, top, file = column * TILE, row * TILE, io.BytesIO()
    image = original.at(min(level, levels(*original.image.size)))
    if left >= image.width or top >= image.height:
        raise Refused(404, "Expected a tile of this photo, got one outside it.")
    part = image.crop((left, top, min(left + TILE, image.width), min(top + TILE, image.height)))
    part.save(file, "PNG", compress_level=1)
    return file.getvalue()

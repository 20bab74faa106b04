"""What a visitor's shoot looks like: pictures made when a browser asks for them, by an opaque number, never by a path."""

import contextlib
import io
import math
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath
from urllib.parse import quote

import anyio.to_thread
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from qinsight.errors import PhotoError, QInsightError
from qinsight.page.uploads import scratch_folder
from qinsight.photos import decode_in_child, read_photo
from qinsight.photos.decode import quick_jpeg
from qinsight.photos.files import BROKEN, check_jpeg, read_bytes, recognise
from qinsight.photos.listing import Frame
from qinsight.photos.shot import Shot, shot_in
from qinsight.photos.view import view

SIDES = {"small": 440, "large": 1600}  # of a picture's longer side: a card on a fine screen, a large view
MOST_HERE = 60_000_000  # pixels of a stranger's JPEG that is shrunk in this process
DIGITS = 6  # of a number, for the place in the shoot
TOLD_APART = 1 << 16  # bytes at each end of an upload, by which it is told from another of its name


@dataclass(frozen=True)
class Handed:
    """What goes to a browser."""

    content: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"image/jpeg"),)


class Lightbox:
    """The frames of one folder, numbered; `uploaded` ones are a stranger's. What is made of them lies in a folder."""

    def __init__(self, folder: Path, frames: Sequence[Frame], *, uploaded: bool) -> None:
        self.folder, self.frames, self.uploaded = folder, tuple(frames), uploaded
        self.key = secrets.randbits(96)
        self.shots: list[Shot] = [shot_in(folder / frame[0]) for frame in frames]
        self.place_of = {name: place for place, frame in enumerate(frames) for name in frame}
        self._place = os.fsencode(folder.resolve())
        self.ids = [self._id_of(frame[0]) for frame in frames]
        self._made: Path | None = None

    def number(self, place: int) -> str:
        """By which the picture of a frame is asked for."""
        return f"{self.key}{place:0{DIGITS}}"

    def id_of(self, place: int) -> str:
        """By which a browser keeps what a person said of a frame: the same for the same photo, and not its name."""
        return self.ids[place]

    def _id_of(self, name: str) -> str:
        """Of a photo of this computer by its place, which stays when XMP is written into it; of an upload by its bytes."""
        known = sha256(name.encode("utf-8", "surrogatepass"))
        known.update(_ends(self.folder / name) if self.uploaded else self._place)
        return known.hexdigest()[:16]

    def put(self, place: int, image: Image.Image) -> None:
        """The small picture of a frame that was decoded anyway."""
        path = self._path(place, "small")
        if not path.exists():
            _keep(path, _shrunk(image, SIDES["small"]))

    def picture(self, place: int, kind: str) -> bytes | None:
        """The picture as a JPEG, upright and sRGB; None where the photo cannot be read."""
        path = self._path(place, kind)
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        for name in self.frames[place]:
            with contextlib.suppress(QInsightError, OSError):
                content = small(self.folder / name, SIDES[kind], uploaded=self.uploaded)
                path.parent.mkdir(parents=True, exist_ok=True)
                _keep(path, content)
                return content
        return None

    def _path(self, place: int, kind: str) -> Path:
        if self._made is None or not self._made.is_dir():
            self._made = scratch_folder()
        return self._made / f"{place}-{kind}.jpg"


def _keep(path: Path, content: bytes) -> None:
    """Whole or not at all: others read the picture at the same time. What a crash leaves of it needs no care."""
    draft = path.with_suffix(f".{threading.get_ident()}")
    draft.write_bytes(content)
    draft.replace(path)


def _ends(path: Path) -> bytes:
    """The size of a file and what stands at its two ends; nothing where it cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(TOLD_APART)
        file.seek(max(0, size - TOLD_APART))
        return b"%d" % size + head + file.read(TOLD_APART)
    return b""


def small(path: Path, side: int, *, uploaded: bool = False) -> bytes:
    """A JPEG of a photo with no side longer than that; of a JPEG only as much is decoded as that needs."""
    content = read_bytes(path)
    if shape := _tame_jpeg(content):
        width, height = shape
        photo = quick_jpeg(content, math.ceil(width * height * min(1, side / max(shape)) ** 2))
    elif uploaded:
        photo = decode_in_child(path, max_pixels=side * side)
    else:
        photo = read_photo(content, max_pixels=side * side)
    return _shrunk(photo.image, side)


def seen_by_model(
    path: Path, max_pixels: int, *, uploaded: bool, stop: threading.Event | None = None
) -> Image.Image:
    """What the model is shown of a photo; a stranger's is decoded in a process of its own."""
    if uploaded:
        return view(decode_in_child(path, view_pixels=max_pixels, stop=stop).image, max_pixels)
    return view(read_photo(path).image, max_pixels)


def _tame_jpeg(content: bytes) -> tuple[int, int] | None:
    """The shape of a JPEG that harms nobody; whatever else a stranger sends is decoded in a child."""
    if recognise(content) != "JPEG":
        return None
    with contextlib.suppress(*BROKEN, PhotoError):
        check_jpeg(content)
        shape: tuple[int, int] = JpegImageFile(io.BytesIO(content)).size
        return shape if math.prod(shape) <= MOST_HERE else None
    return None


def _shrunk(image: Image.Image, side: int) -> bytes:
    picture = image.copy()
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=82)
    return jpeg.getvalue()


class Lightboxes:
    """Every lightbox of the page by its key, and the files that were made to be taken home."""

    MOST = 2000  # of visitors who left without a word
    AT_ONCE = 2  # pictures that are made at a time: the model works beside them

    def __init__(self) -> None:
        self._boxes: OrderedDict[str, Lightbox] = OrderedDict()
        self._files: OrderedDict[str, Path] = OrderedDict()
        self._lock = threading.Lock()
        self._limit: anyio.CapacityLimiter | None = None

    def add(self, box: Lightbox) -> None:
        """From now on its pictures are shown."""
        with self._lock:
            self._boxes[str(box.key)] = box
            while len(self._boxes) > self.MOST:
                self._boxes.popitem(last=False)

    def offer(self, path: Path) -> str:
        """The number by which a file may be fetched."""
        number = str(secrets.randbits(96) + 10**6)
        with self._lock:
            self._files[number] = path
            while len(self._files) > self.MOST:
                self._files.popitem(last=False)
        return number

    def found(self, number: str) -> tuple[Lightbox, int] | None:
        """The frame of that number."""
        box = self._boxes.get(number[:-DIGITS])
        place = int(number[-DIGITS:])
        return (box, place) if box is not None and place < len(box.frames) else None

    def path_of(self, number: str) -> Path | None:
        """The file of that frame, for who looks at its own pixels."""
        at = self.found(number) if number.isdecimal() else None
        return at[0].folder / at[0].frames[at[1]][0] if at else None

    async def handed(self, number: str, kind: str) -> Handed | None:
        """What goes to the browser that asks for this number, None where there is nothing."""
        if self._limit is None:
            self._limit = anyio.CapacityLimiter(self.AT_ONCE)
        return await anyio.to_thread.run_sync(self._handed, number, kind, limiter=self._limit)

    def _handed(self, number: str, kind: str) -> Handed | None:
        if kind == "file":
            path = self._files.get(number)
            with contextlib.suppress(OSError):
                return None if path is None else Handed(path.read_bytes(), _as_file(path.name))
            return None
        at = self.found(number)
        content = at[0].picture(at[1], kind) if at is not None else None
        return None if content is None else Handed(content)


def _as_file(name: str) -> tuple[tuple[bytes, bytes], ...]:
    kept = f"attachment; filename*=UTF-8''{quote(PurePath(name).name)}"
    return (b"content-type", b"application/octet-stream"), (b"content-disposition", kept.encode())

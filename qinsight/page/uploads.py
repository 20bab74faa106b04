"""From what a visitor uploads to a decoded photo: the bytes as they came, read in a process of their own."""

import atexit
import contextlib
import functools
import os
import re
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from pathlib import Path, PurePath
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, ImageData, ListFiles
from gradio.utils import get_upload_folder

from qinsight.ahead import held
from qinsight.errors import PhotoError
from qinsight.photos import Photo, decode_in_child
from qinsight.photos.child import keep_one_ready
from qinsight.sentence import Sentence

EXPIRED = Sentence("this upload has expired; please upload the photo again")
BROWSER_FORMATS = {"JPEG", "PNG", "WebP", "AVIF", "GIF", "BMP"}  # TIFF, HEIC and RAW show as broken pictures


class PhotoInput(gr.Image):
    """An image upload that hands over the path of the very bytes that came; no path where it is not an upload's.

    Whether the file is still there, and what is in it, the `Darkroom` says, where it is known who asks.
    The stock component opens the file first: it re-encodes what is not RGB, clips 16 bit to white, fails
    without a word on what it cannot read, and trusts a path from outside the upload folder if the
    browser leaves out the file's type marker (Gradio 6.31).
    """

    is_template = True  # the stock front end

    def preprocess(self, payload: ImageData | None) -> str | None:
        path = payload.path if payload else None
        if payload is None or not path or not inside_uploads(path):
            return None
        _remember_name(path, own_name(payload.orig_name, path))
        return path

    def shown(self, path: str | None) -> dict[str, Any] | None:
        """The file as the browser is told to show it in this component."""
        file = self.postprocess(path)
        return None if file is None else file.model_dump()


def photo_input(label: str, elem_id: str, height: int) -> PhotoInput:
    """A photo to drop, paste or choose."""
    return PhotoInput(
        type="filepath",
        image_mode=None,
        format="png",  # what the page shows of its own making is lossless
        sources=["upload", "clipboard"],
        label=label,
        elem_id=elem_id,
        height=height,
    )


class FilesInput(gr.File):
    """Uploads, each by the name that it had at home, and its path.

    The stock component hands over what Gradio left of a name, which may be that of another upload: best!.jpg is best.jpg.
    """

    is_template = True

    def preprocess(self, payload: ListFiles | FileData | None) -> list[tuple[str, str]] | None:
        if payload is None:
            return None
        files = payload.root if isinstance(payload, ListFiles) else [payload]
        return [(own_name(file.orig_name, file.path), file.path) for file in files]


# --- the names that files had at home ---

PLACE = "\u2215"  # a slash that may stand in a name: desk.js puts it between the folders a file came from
LONGEST = 240  # bytes of a name: a number or .xmp may be added
REMEMBERED_NAMES = 10_000
_STRANGE = re.compile(r"[/\x00-\x1f\x7f]")
_STRANGE_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|[ .]$')
_own_names: OrderedDict[str, str] = OrderedDict()  # by path; those alone that Gradio changed


def own_name(told: str | None, path: str) -> str:
    """The name that a browser told, if a file of this computer can have it; else that of the upload."""
    left = Path(path).name
    try:
        parts = [os.fsencode(part) for part in (told or "").split(PLACE)]
    except UnicodeEncodeError:
        return left
    fits = all(0 < len(part) <= LONGEST and not part.startswith(b".") for part in parts)
    strange = _STRANGE_ON_WINDOWS if os.name == "nt" else _STRANGE
    return told if told and fits and not strange.search(told) else left


def name_of(path: str) -> str:
    """The name that a photo in a `PhotoInput` had at home."""
    return _own_names.get(path) or Path(path).name


def _remember_name(path: str, name: str) -> None:
    """A box whose photo was swapped tells the changed name: what was known before stays."""
    if name == Path(path).name:
        return
    _own_names[path] = name
    while len(_own_names) > REMEMBERED_NAMES:
        _own_names.popitem(last=False)


# --- where uploads lie ---


def inside_uploads(path: str) -> bool:
    """Whether the path leads, without a link, to a place inside the upload folder, whatever is there."""
    if "\0" in path or len(path) > 4096 or not os.path.isabs(path) or os.path.islink(path):
        return False
    return Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())


def gathered(folder: Path, uploads: Iterable[tuple[str, str]]) -> None:
    """Put uploads, each a name and a path, into a new folder: under their own names, but no two alike.

    `PhotoError` with the name of one that is gone.
    """
    names, paths = zip(*uploads, strict=True)
    for name, path in zip(apart(map(_placed, names)), paths, strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.isfile(path):
            raise PhotoError("{photo}: {error}", photo=name, error=EXPIRED)
        try:
            os.link(path, target)  # a symbolic link would be left out of a ranking, as any other
        except OSError:  # on another disk
            shutil.copyfile(path, target)


def _placed(name: str) -> str:
    return "/".join(part for part in name.split(PLACE) if part.strip(".")) or "photo"


def apart(names: Iterable[str]) -> Iterator[str]:
    """The names, numbered where one came before, also in capitals: a.jpg, a (2).jpg."""
    taken: set[str] = set()
    for name in names:
        path = PurePath(name)
        numbered = (str(path.with_stem(f"{path.stem} ({number})")) for number in count(2))
        free = next(one for one in chain([name], numbered) if one.casefold() not in taken)
        taken.add(free.casefold())
        yield free


def names_of(files: Iterable[tuple[str, str]]) -> list[str]:
    """A name for each file, given its own and its path: numbered where another file has the same."""
    files = [*files]
    told = dict.fromkeys(files)
    return [dict(zip(told, apart(name for name, _ in told), strict=True))[file] for file in files]


class Darkroom:
    """Decodes uploads at the model's view size and remembers the last few, by path (it holds the content's hash)."""

    REMEMBERED = 8  # photos of at most 3 MB
    AT_ONCE = 2  # a decoder may take 3 GB for a hostile file

    def __init__(self) -> None:
        keep_one_ready()
        self._photos: OrderedDict[tuple[str, int], Photo] = OrderedDict()
        self._lock = threading.Lock()
        self._places = threading.Semaphore(self.AT_ONCE)

    def decode(self, path: str, max_pixels: int, stop: threading.Event | None = None) -> Photo:
        """The photo, as the model is going to see it; `PhotoError` with a sentence if it cannot be read."""
        if not os.path.isfile(path):
            raise PhotoError(EXPIRED)
        key = (path, max_pixels)
        with self._lock:
            if key in self._photos:
                self._photos.move_to_end(key)
                return self._photos[key]
        with held(self._places, stop):
            photo = decode_in_child(path, view_pixels=max_pixels, stop=stop)
        with self._lock:
            self._photos[key] = photo
            while len(self._photos) > self.REMEMBERED:
                self._photos.popitem(last=False)
        return photo

    def whole(self, path: str) -> Photo:
        """The photo with all its pixels; a small one is remembered whole, a larger one is decoded for it."""
        with self._lock:
            for (known, _), photo in self._photos.items():
                if known == path and photo.image.size == photo.size:
                    return photo
        with held(self._places, None):
            return decode_in_child(path)


KEPT = 3600  # seconds


@functools.cache
def _scratch() -> Path:
    """Where what the page makes lies: among its other files, or else in a folder that ends with the process."""
    made = tempfile.TemporaryDirectory(prefix="qinsight-")
    atexit.register(made.cleanup)
    return Path(made.name)


def scratch_folder() -> Path:
    """A new folder for files the page makes; those older than an hour are deleted on the way."""
    for old in _scratch().iterdir():
        with contextlib.suppress(FileNotFoundError):  # another visitor's, gone meanwhile
            if time.time() - old.stat().st_mtime > KEPT:
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=_scratch()))


def shared_folder() -> Path:
    """A new folder among the uploads: what is in it may be shown in a box for photos, and is deleted as they are."""
    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=uploads))


class Janitor:
    """Deletes what was uploaded or made for a visitor when its time is over, used or not.

    Gradio's own cleaning knows only what went through a component: cancelled uploads, parts of forms and empty
    folders stay for ever. Works in a folder of the page's own only, which `GRADIO_TEMP_DIR` names. `then` is done after
    each round.
    """

    PAUSE = 60  # seconds

    def __init__(self, page: gr.Blocks, seconds: float, then: Callable[[], None] = lambda: None) -> None:
        self.page, self.seconds, self.then = page, seconds, then
        self.folders = [_scratch()]
        if "GRADIO_TEMP_DIR" in os.environ:  # as it is now: another page of this process may have another
            self.folders.append(Path(get_upload_folder()))

    def start(self) -> None:
        """Clean now and then, from now on."""
        threading.Thread(target=self._work, name="qinsight-janitor", daemon=True).start()

    def _work(self) -> None:
        while True:
            self.clean()
            self.then()
            time.sleep(self.PAUSE)

    def clean(self) -> None:
        """Delete what is older than it may be."""
        kept = {path for block in [*self.page.blocks.values()] for path in block.keep_in_cache}
        for folder in self.folders:
            for place, _, names in os.walk(folder, topdown=False):
                for path in (Path(place, name) for name in names):
                    if str(path) not in kept:
                        self._delete(path)
                if Path(place) not in self.folders:
                    with contextlib.suppress(OSError):  # not empty
                        self._delete(Path(place))

    def _delete(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.lstat().st_mtime <= self.seconds:
                return
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


def preview(photo: Photo) -> str:
    """The decoded photo as a PNG file that any browser shows, without the original's metadata."""
    path = scratch_folder() / "preview.png"
    photo.image.save(path, compress_level=1)
    return str(path)

"""From what a visitor uploads to a decoded photo: the bytes as they came, read in a process of their own."""

import os
import threading
from collections import OrderedDict
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder
from PIL import ImageOps

from qinsight.errors import PhotoError
from qinsight.photos import Photo, decode_in_child
from qinsight.views import view_size

BROWSER_FORMATS = {"JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP"}  # TIFF, HEIC and RAW show as broken pictures


class PhotoInput(gr.Image):
    """An image upload that hands over the path of the very bytes that came.

    The stock component opens the file first: it re-encodes what is not RGB, clips 16 bit to white, fails
    without a word on what it cannot read, and trusts a path from outside the upload folder if the
    browser leaves out the file's type marker (Gradio 6.31).
    """

    is_template = True  # the stock front end

    def preprocess(self, payload: ImageData | None) -> str | None:
        if payload is None:
            return None
        return uploaded_path(payload.path)


def uploaded_path(path: str | None) -> str:
    """The path, if it is a plain file inside the upload folder; a `gr.Error` sentence if not."""
    folder = Path(get_upload_folder()).resolve()
    if not path or Path(path).is_symlink() or not Path(path).resolve().is_relative_to(folder):
        raise gr.Error("Expected an uploaded photo. Please upload the file again.", print_exception=False)
    if not Path(path).is_file():
        raise gr.Error("This upload has expired. Please upload the file again.", print_exception=False)
    return str(path)


class Darkroom:
    """Decodes uploads at the model's view size and remembers the last few, by path (it holds the content's hash)."""

    REMEMBERED = 8  # photos of at most 3 MB

    def __init__(self) -> None:
        self._photos: OrderedDict[tuple[str, int], Photo] = OrderedDict()
        self._lock = threading.Lock()

    def decode(self, path: str, max_pixels: int, stop: threading.Event | None = None) -> Photo:
        """The photo, as the model is going to see it; `PhotoError` with a sentence if it cannot be read."""
        key = (path, max_pixels)
        with self._lock:
            if key in self._photos:
                self._photos.move_to_end(key)
                return self._photos[key]
        if not os.path.exists(path):
            raise PhotoError("this upload has expired; please upload the photo again")
        photo = decode_in_child(path, view_pixels=max_pixels, stop=stop)
        with self._lock:
            self._photos[key] = photo
            while len(self._photos) > self.REMEMBERED:
                self._photos.popitem(last=False)
        return photo


def facts(photo: Photo, max_pixels: int) -> str:
    """What was uploaded and at which size it is rated, in one line."""
    width, height = view_size(*photo.image.size, max_pixels)
    remarks = "".join(f"; {note}" for note in photo.notes)
    return f"{photo.format}, {photo.size[0]} × {photo.size[1]}{remarks}; rated at {width} × {height}"


def side_by_side(a: Photo, b: Photo, folder: Path) -> tuple[str, str]:
    """Both photos as PNG files on canvases of one size, for the slider only: the model is shown others."""
    size = max(a.image.width, b.image.width), max(a.image.height, b.image.height)
    paths = [str(folder / "a.png"), str(folder / "b.png")]
    for photo, path in zip((a, b), paths, strict=True):
        ImageOps.pad(photo.image, size, color="#808080").save(path, compress_level=1)
    return paths[0], paths[1]

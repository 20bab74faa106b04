"""Photos as people have them: any file to upright sRGB pixels, in this process or in one that may die."""

import os
import threading
from typing import Any

from PIL import Image

from qinsight.photos.child import ask_child
from qinsight.photos.decode import EXTRAS, Photo, read_here, require_extra
from qinsight.photos.files import MOST_BYTES, Source, open_regular, read_bytes, recognise
from qinsight.photos.shot import Shot
from qinsight.sentence import Sentence

__all__ = ["Photo", "Source", "decode_in_child", "load_photo", "read_photo"]


def load_photo(source: Source, *, max_pixels: int | None = None) -> Image.Image:
    """The photo in a file, given by path, bytes or binary file: RGB, upright, at most `max_pixels`."""
    return read_photo(source, max_pixels=max_pixels).image


def read_photo(source: Source, *, max_pixels: int | None = None) -> Photo:
    """As `load_photo`, with the original's size and format and remarks such as 'first of 12 frames'."""
    data = read_bytes(source)
    kind = recognise(data)
    if kind not in EXTRAS:
        return read_here(data, max_pixels=max_pixels)
    require_extra(kind)
    # Damaged files crash these libraries: 4 of 4 runs of pi_heif on randomly damaged HEICs died in seconds.
    return _from_child(*ask_child(data, max_pixels=max_pixels, seconds=120, memory_mb=4096))


def decode_in_child(
    path: str | os.PathLike[str],
    *,
    max_pixels: int | None = None,
    view_pixels: int | None = None,
    seconds: float = 30.0,
    memory_mb: int = 3072,
    stop: threading.Event | None = None,
) -> Photo:
    """As `read_photo`, for strangers' photos: in a process killed at the limits, or when `stop` is set.

    With `view_pixels` a larger photo comes back as the `view` that the model is shown at that budget, made
    from all its pixels: the same pixels, and so the same answer, as if the whole photo had been sent over.
    `Stopped` is raised on `stop`, `PhotoError` at the limits.
    """
    with open_regular(path) as file:
        content = file.read(MOST_BYTES + 1)  # the child refuses one byte too many
    return _from_child(
        *ask_child(
            content,
            max_pixels=max_pixels,
            view_pixels=view_pixels,
            seconds=seconds,
            memory_mb=memory_mb,
            stop=stop,
        )
    )


def _from_child(facts: dict[str, Any], pixels: bytes) -> Photo:
    image = Image.frombytes("RGB", tuple(facts["shape"]), pixels)
    notes = tuple(map(Sentence.from_json, facts["notes"]))
    return Photo(image, tuple(facts["size"]), facts["format"], notes, Shot(**facts["shot"]))

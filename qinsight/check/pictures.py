"""The pictures a check asks about: shipped photos, and patterns made so that one kind of harm leaves nothing of them.

Every picture is whole patches wide and high, so that an engine sees its pixels as they are made here.
"""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from qinsight.errors import QInsightError
from qinsight.photos import load_photo

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
CLEAN = ("astronaut", "cat", "coffee", "rocket")
SIZE = (448, 336)  # whole patches of 28 pixels and whole JPEG blocks of 8
WIDE = (448, 224)
SQUARE = (448, 448)  # what padding makes of it
WIDER = (672, 224)  # three squares
LARGE = (1176, 840)  # nearly all that we show a model unless told otherwise
SMALL = (392, 280)  # a third of its sides
FAINT = 12  # of 255: what shrinking to three quarters of the pixels leaves of it, the preview does not see
ORIENTATION = 0x0112  # the EXIF tag
SIDEWAYS = 6  # the first row of the file is the right side of the scene

# The luminance steps of the JPEG standard's annex K, at quality 50.
_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


@cache
def photo(name: str, size: tuple[int, int] = SIZE) -> Image.Image:
    """A shipped photo, filled into the size; `QInsightError` where it is not there."""
    path = PHOTOS / f"{name}.jpg"
    if not path.is_file():
        raise QInsightError("Expected the example photo {path}; it is missing.", path=path)
    return ImageOps.fit(load_photo(path), size, Image.Resampling.BICUBIC)


# --- ladders ------------------------------------------------------------------------------------------------------


def blurred(picture: Image.Image, strength: int) -> Image.Image:
    """As out of focus."""
    return picture.filter(ImageFilter.GaussianBlur((1.2, 2.5, 5.0)[strength - 1]))


def noisy(picture: Image.Image, strength: int) -> Image.Image:
    """With independent noise in every channel, the same at every call."""
    sigma = (15, 35, 70)[strength - 1]
    dice = np.random.default_rng(strength)
    values = np.asarray(picture, np.float32) + dice.normal(0, sigma, (picture.height, picture.width, 3))
    return _picture(values)


def compressed(picture: Image.Image, strength: int) -> Image.Image:
    """As a JPEG of low quality."""
    return jpeg(picture, (25, 12, 5)[strength - 1])


def darkened(picture: Image.Image, strength: int) -> Image.Image:
    """As under-exposed."""
    return ImageEnhance.Brightness(picture).enhance((0.5, 0.28, 0.13)[strength - 1])


LADDERS = {"blur": blurred, "noise": noisy, "compression": compressed, "darkness": darkened}


def jpeg(picture: Image.Image, quality: int, subsampling: int = -1) -> Image.Image:
    """The picture after a JPEG; its chroma is halved unless `subsampling` is 0."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


# --- what harm leaves nothing of -----------------------------------------------------------------------------------


@cache
def card(size: tuple[int, int] = SIZE) -> Image.Image:
    """Squares of grey, each of whole JPEG blocks."""
    dice = np.random.default_rng(7)
    greys = dice.integers(8, 23, (size[1] // 56, size[0] // 56)) * 8
    return _picture(np.kron(greys, np.ones((56, 56)))[..., None].repeat(3, axis=2))


def fine(picture: Image.Image, quality: int) -> Image.Image:
    """With luminance detail that lies below the steps of a JPEG of this quality, which rounds it away."""
    scale = (200 - 2 * quality) / 100 if quality >= 50 else 50 / quality
    amplitudes = np.where(_STEPS >= 77, 0.4 * _STEPS * scale, 0)
    dice = np.random.default_rng(11)
    down, across = picture.height // 8, picture.width // 8
    signs = dice.choice([-1.0, 1.0], (down, across, 8, 8))
    blocks = _cosines().T @ (signs * amplitudes) @ _cosines()
    detail = blocks.transpose(0, 2, 1, 3).reshape(down * 8, across * 8)
    return _picture(np.asarray(picture, np.float32) + detail[..., None])


def colour_checkered(picture: Image.Image) -> Image.Image:
    """With a checkerboard of single pixels that all are as bright: a JPEG that halves chroma leaves nothing of it."""
    as_bright = np.array([58.0, -36.0, 33.0])  # its luma is -0.03
    return _picture(np.asarray(picture, np.float32) + _checkers(picture.size)[..., None] * as_bright)


def checkered(picture: Image.Image) -> Image.Image:
    """With a checkerboard of single pixels: whatever shrinks makes grey of it, a JPEG does not."""
    return _picture(np.asarray(picture, np.float32) + FAINT * _checkers(picture.size)[..., None])


def blotched(picture: Image.Image, across: int) -> Image.Image:
    """In grey, with blotches of colour, so many in a row: by luma and by the plain mean as bright as what they cover."""
    dice = np.random.default_rng(5)
    luma = 60 + np.asarray(picture.convert("L"), np.float32) / 2
    dots = Image.fromarray(dice.uniform(-1, 1, (3 * across // 4, across)).astype(np.float32))
    strength = np.clip(np.asarray(dots.resize(picture.size, Image.Resampling.BICUBIC)), -1, 1)
    as_bright = np.array([-60.0, 23.5, 36.5])  # both its luma and its mean are 0.0
    return _picture(luma[..., None] + strength[..., None] * as_bright)


def grey(picture: Image.Image) -> Image.Image:
    """Without its colours."""
    return picture.convert("L").convert("RGB")


def kept(picture: Image.Image, part: str) -> Image.Image:
    """Drowned in noise but for one third: for whom only that third is left, the picture is clean."""
    third = picture.width // 3
    left = {"left": 0, "middle": third, "right": 2 * third}[part]
    box = (left, 0, left + third, picture.height)
    drowned = noisy(picture, 3)
    drowned.paste(picture.crop(box), box)
    return drowned


def letterboxed(picture: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """In the middle of a square of one colour."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), colour)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


PADDING = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "dark grey": (114, 114, 114),
    "grey": (127, 127, 127),
    "the mean of photos": (122, 116, 104),
}  # the colours that image processors fill with


def turned_file(picture: Image.Image) -> bytes:
    """A PNG that holds the picture lying on its side, with the EXIF tag that says so."""
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    file = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif.tobytes())
    return file.getvalue()


def _checkers(size: tuple[int, int]) -> Any:
    """+1 and -1 in turn."""
    width, height = size
    return np.where(np.indices((height, width)).sum(axis=0) % 2, 1.0, -1.0)


@cache
def _cosines() -> Any:
    """The discrete cosine transform of 8 values, rows are waves."""
    waves, places = np.indices((8, 8))
    table = np.cos((2 * places + 1) * waves * np.pi / 16) / 2
    table[0] /= np.sqrt(2)
    return table


def _picture(values: Any) -> Image.Image:
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))

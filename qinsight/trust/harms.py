"""Ladders of growing harm, made of a person's own photos: every step is worse than the one before it, and nothing else.

A ladder's dice are the same at every step, so that its steps differ in strength alone. Strengths are in pixels of the
picture the model is shown, in shares of white, in stops, in JPEG qualities.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage, signal

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
GAMMA = 2.2
CARRIER = 90  # the JPEG quality in which cameras hand on their noise

Pixels = Any
"""Height, width, 3; from 0 to 1."""


@dataclass(frozen=True)
class Ladder:
    """Its strengths, mildest first, and what makes a picture of the photo and a strength."""

    strengths: tuple[float, ...]
    apply: Callable[[Pixels, float, np.random.Generator], Pixels]

    def pictures(self, photo: Image.Image, seed: int = 0) -> list[Image.Image]:
        """The photo itself, and then its steps."""
        pixels = np.asarray(photo.convert("RGB"), np.float32) / 255
        steps = [self.apply(pixels, strength, np.random.default_rng(seed)) for strength in self.strengths]
        return [photo, *map(_image, steps)]


def disc(radius: float) -> Any:
    """What a lens out of focus makes of a point: a disc of `radius` pixels with a soft rim."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)


def line(length: float, angle: float) -> Any:
    """What a moving camera makes of a point: a line of `length` pixels."""
    reach = int(np.ceil(length / 2))
    along = np.linspace(-length / 2, length / 2, 8 * reach)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    rows, columns = (np.rint(reach + along * turn).astype(int) for turn in (np.sin(angle), np.cos(angle)))
    np.add.at(kernel, (rows, columns), 1)
    return kernel


def convolve(photo: Any, kernel: Any) -> Any:
    """A photo (height, width, 3) under a kernel, which is made to sum to one; edges are mirrored."""
    kernel = (kernel / kernel.sum()).astype(np.float32)
    reach = kernel.shape[0] // 2
    padded = np.pad(photo, ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    return signal.fftconvolve(padded, kernel[..., None], "valid", axes=(0, 1))


def jpeg(photo: Image.Image, quality: int) -> Image.Image:
    """The photo after a JPEG with halved colours."""
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality, subsampling=2)
    with Image.open(file) as read:
        return read.convert("RGB")


def _focus(photo: Pixels, radius: float, dice: np.random.Generator) -> Pixels:
    """In light, where lamps stay bright."""
    return np.clip(convolve(photo**GAMMA, disc(radius)), 0, 1) ** (1 / GAMMA)


def _motion(photo: Pixels, length: float, dice: np.random.Generator) -> Pixels:
    kernel = line(length, dice.uniform(0, np.pi))
    return np.clip(convolve(photo**GAMMA, kernel), 0, 1) ** (1 / GAMMA)


def _gaussian(photo: Pixels, sigma: float, dice: np.random.Generator) -> Pixels:
    return ndimage.gaussian_filter(photo, (sigma, sigma, 0), truncate=3)


def _noise(photo: Pixels, sigma: float, dice: np.random.Generator) -> Pixels:
    """Independent in every pixel and channel."""
    return photo + sigma * dice.standard_normal(photo.shape, np.float32)


def _real_noise(photo: Pixels, sigma: float, dice: np.random.Generator) -> Pixels:
    """As a camera hands it on: in luma most, stronger where more light made it, grown together, through a JPEG."""
    grain = ndimage.gaussian_filter(dice.standard_normal(photo.shape[:2], np.float32), 0.7)
    blotches = ndimage.gaussian_filter(dice.standard_normal(photo.shape, np.float32), (1.5, 1.5, 0))
    blotches -= (blotches @ LUMA)[..., None]
    mixed = grain[..., None] / grain.std() + 0.5 * blotches / blotches.std()
    light = photo @ LUMA
    # Shot noise in light, seen through the tone curve: strongest in the darker middle tones.
    seen = np.sqrt(0.05 + light**GAMMA) * np.maximum(light, 0.05) ** (1 - GAMMA)
    seen = np.minimum(seen, 3) / 1.5
    picture = _image(photo + sigma * seen[..., None] * mixed)
    return np.asarray(jpeg(picture, CARRIER), np.float32) / 255


def _compression(photo: Pixels, quality: float, dice: np.random.Generator) -> Pixels:
    return np.asarray(jpeg(_image(photo), round(quality)), np.float32) / 255


def _darkness(photo: Pixels, stops: float, dice: np.random.Generator) -> Pixels:
    return photo * 2 ** (-stops / GAMMA)


def _shrinking(photo: Pixels, factor: float, dice: np.random.Generator) -> Pixels:
    """Fewer pixels, enlarged to the same size again."""
    picture = _image(photo)
    size = max(8, round(picture.width / factor)), max(8, round(picture.height / factor))
    small = picture.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC), np.float32) / 255


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))


LADDERS = {
    "focus": Ladder((1.5, 3, 5, 8), _focus),
    "motion": Ladder((4, 8, 14, 24), _motion),
    "gaussian": Ladder((0.8, 1.6, 3, 5), _gaussian),
    "noise": Ladder((0.02, 0.05, 0.1, 0.2), _noise),
    "real noise": Ladder((0.015, 0.03, 0.06, 0.12), _real_noise),
    "jpeg": Ladder((45, 22, 11, 5), _compression),
    "darkness": Ladder((1, 2, 3, 4.5), _darkness),
    "shrinking": Ladder((1.5, 2.5, 4, 7), _shrinking),
}

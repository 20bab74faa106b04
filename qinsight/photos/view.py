"""The picture the model is shown: the photo, resized once to whole patches within a pixel budget."""

import math

from PIL import Image

from qinsight.errors import PhotoError

TOKEN = 28  # pixels each way that an image token covers: 14-pixel patches merged two by two
MIN_PIXELS = 56 * 56
MAX_ASPECT = 200  # beyond it Qwen2.5-VL's own processor refuses


def view_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """Width and height in pixels, multiples of 28, between 3,136 pixels and `max_pixels` in all.

    The rule of `smart_resize` in qwen-vl-utils (Apache-2.0), by which the published scripts resize;
    unlike its namesake in transformers it never rounds a thin side down to nothing.
    """
    if max_pixels < MIN_PIXELS:
        raise ValueError(f"expected at least {MIN_PIXELS} pixels for the model's view, got {max_pixels}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PhotoError(
            "expected a shape of at most {most}:1, got {width} x {height}; crop it first",
            most=MAX_ASPECT,
            width=width,
            height=height,
        )
    across = max(TOKEN, round(width / TOKEN) * TOKEN)
    down = max(TOKEN, round(height / TOKEN) * TOKEN)
    if across * down > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        across = max(TOKEN, math.floor(width / shrink / TOKEN) * TOKEN)
        down = max(TOKEN, math.floor(height / shrink / TOKEN) * TOKEN)
    elif across * down < MIN_PIXELS:
        grow = math.sqrt(MIN_PIXELS / (width * height))
        across = math.ceil(width * grow / TOKEN) * TOKEN
        down = math.ceil(height * grow / TOKEN) * TOKEN
    return across, down


def image_tokens(width: int, height: int, max_pixels: int) -> int:
    """How many tokens the model reads of a photo of this size."""
    across, down = view_size(width, height, max_pixels)
    return across * down // TOKEN**2


def view(photo: Image.Image, max_pixels: int) -> Image.Image:
    """The photo at `view_size`, resampled bicubically by PIL as in the published scripts.

    Any other resampler changes the pixels and with them the answer. So does the order of its two passes:
    Pillow 13 resizes a photo that loses much more height than width vertically first, Pillow 12 never
    does. We name the order, so that both give the pixels that Pillow 13 gives.
    """
    width, height = view_size(*photo.size, max_pixels)
    if photo.height - height > 2 * max(0, photo.width - width):
        photo = photo.resize((photo.width, height), Image.Resampling.BICUBIC)
    return photo if photo.size == (width, height) else photo.resize((width, height), Image.Resampling.BICUBIC)

"""Pictures that are made, not found."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def discs(seed: int, width: int = 320, height: int = 240, number: int = 200) -> Image.Image:
    """Overlapping discs of many sizes and tones: edges, flat parts and texture, as in a photo."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pixels = np.full((height, width, 3), 128.0)
    for _ in range(number):
        inside = (x - rng.uniform(0, width)) ** 2 + (y - rng.uniform(0, height)) ** 2 < rng.uniform(
            3, 40
        ) ** 2
        pixels[inside] = rng.uniform(30, 225, 3)
    return Image.fromarray(pixels.astype(np.uint8))


def photo_file(tmp_path: Path, name: str, image: Image.Image, **options: Any) -> str:
    image.save(tmp_path / name, **options)
    return str(tmp_path / name)

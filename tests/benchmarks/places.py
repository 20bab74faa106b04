"""Whether a map finds the place: `python tests/benchmarks/places.py PHOTOS [--worst COUNT] [--megapixels N]`.

The sharpest place: the middle of a photograph, sharp, at a random place before a soft ground made of another photograph.
The worst: one quarter of a photograph damaged at level 3 to 5; does it hold the tile that the model rates lowest?
Photographs: every second one by name, those that set no bound in `qinsight.trust`.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from qinsight.engines.local import LocalEngine
from qinsight.trust.places import Places, map_places, measured_only
from training.data.degrade import DISTORTIONS, degrade

SHAPE = 512


def before_ground(
    subject: Image.Image, ground: Image.Image, rng: np.random.Generator
) -> tuple[Image.Image, list[int]]:
    """A sharp ellipse of a photo on a blurred one, twice its size, and the ellipse's box."""
    radius = float(rng.uniform(4, 10))
    made = ground.resize((2 * SHAPE, 2 * SHAPE), Image.Resampling.BICUBIC).filter(
        ImageFilter.GaussianBlur(radius)
    )
    left, top = (int(rng.integers(0, SHAPE)) for _ in range(2))
    mask = Image.new("L", subject.size)
    ImageDraw.Draw(mask).ellipse((40, 40, SHAPE - 40, SHAPE - 40), fill=255)
    made.paste(subject, (left, top), mask.filter(ImageFilter.GaussianBlur(6)))
    return made, [left + 40, top + 40, left + SHAPE - 40, top + SHAPE - 40]


def show_sharpest(photos: list[Image.Image], count: int) -> None:
    rng, right = np.random.default_rng(11), 0
    for number in range(count):
        made, box = before_ground(photos[number], photos[-1 - number], rng)
        tile = measured_only(made).sharpest
        x, y = tile.centre if tile else (-1, -1)
        right += box[0] <= x <= box[2] and box[1] <= y <= box[3]
    print(f"the sharpest place is in the subject of {right} of {count}")


def show_worst(photos: list[Image.Image], count: int) -> None:
    engine, rng, right = LocalEngine.open("preview"), np.random.default_rng(12), 0
    for number, photo in enumerate(photos[:count]):
        named, quarter = DISTORTIONS[number % len(DISTORTIONS)], int(rng.integers(0, 4))
        corner = (quarter % 2 * SHAPE // 2, quarter // 2 * SHAPE // 2)
        damaged = degrade(photo, named, int(rng.integers(3, 6)), rng)
        made = photo.copy()
        made.paste(damaged.image.crop((*corner, corner[0] + SHAPE // 2, corner[1] + SHAPE // 2)), corner)
        *_, found = map_places(engine, made)
        tile = found.lowest
        x, y = tile.centre if tile else (-1, -1)
        hit = (x // (SHAPE // 2), y // (SHAPE // 2)) == (quarter % 2, quarter // 2)
        right += hit
        print(f"  {number}: {damaged.kind} {'found' if hit else 'missed'}, {right} so far", flush=True)
    print(f"the damaged quarter holds the lowest tile of {right} of {count}")


def show_time(photos: list[Image.Image], megapixels: float) -> None:
    """A mosaic of photographs of so many megapixels, 3:2."""
    width, height = round((megapixels * 1.5e6) ** 0.5), round((megapixels * 1e6 / 1.5) ** 0.5)
    mosaic = Image.new("RGB", (width, height))
    for place in range(-(-width // SHAPE) * -(-height // SHAPE)):
        row, column = divmod(place, -(-width // SHAPE))
        mosaic.paste(photos[place % len(photos)], (column * SHAPE, row * SHAPE))
    engine = LocalEngine.open("preview")
    began, spent, first, found = time.monotonic(), time.process_time(), 0.0, None
    for found in map_places(engine, mosaic):
        first = first or (time.monotonic() - began if found.done else 0.0)
    assert isinstance(found, Places)
    print(
        f"{width} x {height}: {len(found.tiles)} tiles, {found.covered:.0%} of the photo, in {time.monotonic() - began:.1f} s "
        f"({time.process_time() - spent:.1f} s of processors), the first after {first:.1f} s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("--worst", type=int, default=0, metavar="COUNT")
    parser.add_argument("--megapixels", type=float, default=0.0, metavar="N")
    options = parser.parse_args()
    held_out = [Image.open(path).convert("RGB") for path in sorted(options.photos.glob("*.png"))[1::2]]
    show_sharpest(held_out, 20)
    if options.megapixels:
        show_time(held_out, options.megapixels)
    if options.worst:
        show_worst(held_out, options.worst)

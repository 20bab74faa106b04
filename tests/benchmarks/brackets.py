"""How often bursts and brackets are told apart: `python tests/benchmarks/brackets.py PHOTOS [COUNT]`.

Of every photograph in PHOTOS it makes three ordinary bursts (held by hand; with light that drifts; with a lamp that
flickers) and brackets of three and five frames in steps of one and of two stops, with EXIF and without, as files that a
camera might write: moved, noisy, clipped where they are too bright, JPEG. Nothing is asked of a model.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import numpy as np
from PIL import Image

from qinsight.photos import load_photo
from qinsight.photos.listing import photos_in
from qinsight.ranking.folder import rank_folder, ranking
from shared.cameras import taken
from shared.engines import PixelEngine

SIZE = (420, 420)
MOVED = 6  # pixels at most, from frame to frame
GRAIN = 3.0  # of 255
SHUTTER = 250
BURSTS = {
    "by hand": (0, 0, 0, 0),
    "the light drifts": (0, 0.1, 0.2, 0.3),
    "a lamp flickers": (0, 0.35, 0, 0.35),
}
BRACKETS = {"3 x 1 stop": (-1, 0, 1), "3 x 2 stops": (-2, 0, 2), "5 x 1 stop": (-2, -1, 0, 1, 2)}


def made(photo: Image.Image, stops: float, dice: np.random.Generator) -> Image.Image:
    """One frame: moved, at another exposure of its linear light, noisy."""
    left, top = dice.integers(0, 2 * MOVED + 1, 2)
    frame = photo.resize((SIZE[0] + 2 * MOVED, SIZE[1] + 2 * MOVED)).crop(
        (left, top, left + SIZE[0], top + SIZE[1])
    )
    light = (np.asarray(frame, np.float32) / 255) ** 2.2 * 2**stops
    values = 255 * light ** (1 / 2.2) + dice.normal(0, GRAIN, (*SIZE[::-1], 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def shoot(
    photos: list[Image.Image], stops: tuple[float, ...], folder: Path, *, told: bool, meant: bool
) -> Iterator[tuple[bool, bool]]:
    """Of each photo's frames: whether all are one set, and whether that is a bracket."""
    for number, photo in enumerate(photos):
        dice = np.random.default_rng(number)
        for place, stop in enumerate(stops):
            file = folder / f"{number:04}" / f"{place}.jpg"
            image = made(photo, stop, dice)
            if told:  # what a camera sets on purpose, it tells
                seconds = round(SHUTTER / 2**stop) if meant else SHUTTER
                taken(file, f"2026:11:26 10:00:{place:02}", seconds=seconds, image=image)
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                image.save(file, quality=90)
    [*rank_folder(PixelEngine(), folder, folder / "out", stop=threading.Event())]
    rows = ranking(folder / "out")
    for number in range(len(photos)):
        mine = [row for row in rows if row.photo.startswith(f"{number:04}/")]
        yield (
            len({row.group for row in mine}) == 1 and mine[0].group is not None,
            any(row.bracket for row in mine),
        )


def main(folder: Path, count: int) -> None:
    """A line for each kind."""
    photos = [load_photo(folder / name) for name in photos_in(folder)[:count]]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for number, photo in enumerate(photos):
            made(photo, 0, np.random.default_rng(number)).save(folder / f"{number:04}.jpg", quality=90)
        [*rank_folder(PixelEngine(), folder, folder / "out", stop=threading.Event())]
        joined = sum(row.group is not None for row in ranking(folder / "out"))
    print(f"different photographs, without EXIF: of {len(photos)} joined to another {joined}", flush=True)
    for told in (True, False):
        for kinds, meant in ((BURSTS, False), (BRACKETS, True)):
            for name, stops in kinds.items():
                with tempfile.TemporaryDirectory() as scratch:
                    found = [*shoot(photos, stops, Path(scratch), told=told, meant=meant)]
                whole = sum(one for one, _ in found)
                kept = sum(one and bracket for one, bracket in found)
                taken_for = (
                    f"kept whole as a bracket {kept}"
                    if meant
                    else f"taken for a bracket {sum(b for _, b in found)}"
                )
                kind = "bracket" if meant else "burst"
                print(
                    f"{kind}, {name}, {'with' if told else 'without'} EXIF: of {len(found)} one set {whole}, {taken_for}",
                    flush=True,
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100)

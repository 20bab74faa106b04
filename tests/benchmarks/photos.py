"""What load_photo costs beside Pillow's own decode and resize of the same 24-megapixel JPEG.

python -m tests.benchmarks.photos
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from qinsight.photos import decode_in_child, load_photo

MAX_PIXELS = 1_003_520
SIZE = (6000, 4000)
TARGET = (1226, 817)
ROUNDS = 9


def main() -> None:
    photo = _textured_photo()
    with tempfile.TemporaryDirectory() as folder:
        for name, options in {
            "baseline": {},
            "progressive": {"progressive": True},
            "upright by EXIF 6": {"exif": _exif(6)},
        }.items():
            path = Path(folder) / "photo.jpg"
            photo.save(path, quality=92, **options)
            print(f"\n24-megapixel JPEG, {name}, {path.stat().st_size / 1e6:.1f} MB, to {MAX_PIXELS} pixels")
            _compare(
                {
                    "Pillow, full decode": lambda path=path: _pillow(path, draft=False),
                    "Pillow, draft at twice the size": lambda path=path: _pillow(path, draft=True),
                    "load_photo": lambda path=path: load_photo(path, max_pixels=MAX_PIXELS),
                    "decode_in_child": lambda path=path: decode_in_child(path, view_pixels=MAX_PIXELS),
                }
            )


def _compare(ways: dict[str, Callable[[], object]]) -> None:
    """Rounds are interleaved, so that a busy machine slows every way alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    full, drafted = medians["Pillow, full decode"], medians["Pillow, draft at twice the size"]
    for name, median in medians.items():
        print(
            f"  {name:32} {median * 1000:7.1f} ms   {median / full:5.2f} x full   {median / drafted:5.2f} x draft"
        )


def _pillow(path: Path, *, draft: bool) -> Image.Image:
    with Image.open(path) as image:
        if draft:
            image.draft("RGB", (2 * TARGET[0], 2 * TARGET[1]))
        return image.convert("RGB").resize(TARGET, Image.Resampling.BICUBIC)


def _textured_photo() -> Image.Image:
    """Smooth colours with fine grain: a file of about the size a camera would write."""
    numbers = np.random.default_rng(0)
    smooth = Image.fromarray(numbers.integers(0, 256, (50, 75, 3), dtype=np.uint8)).resize(
        SIZE, Image.Resampling.BICUBIC
    )
    grain = numbers.normal(0, 6, (SIZE[1], SIZE[0], 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8))


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


if __name__ == "__main__":
    main()

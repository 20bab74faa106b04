"""A folder through `rank_folder` against the published way, and the memory of a long run.

    python tests/benchmarks/rank.py [--photos 200] [--rows 10000]

The published way: one photo and one task at a time with plain `generate` (a sample of the same photos, between two
halves of our run). Idle is the share of time in which the model waits for photos or for the disk.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import psutil
from engine import published
from PIL import Image

from qinsight.assess import assessment
from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo
from qinsight.ranking.folder import rank_folder
from qinsight.requests import Delta, Sampling

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg"))


class Watched:
    """An engine that counts the seconds it works."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.busy = engine, 0.0

    @property
    def about(self) -> Any:
        return self.engine.about

    def stream(self, *args: Any, **options: Any) -> Iterator[Delta]:
        stream = self.engine.stream(*args, **options)
        while True:
            started = time.perf_counter()
            delta = next(stream, None)
            self.busy += time.perf_counter() - started
            if delta is None:
                return
            yield delta


def make_photos(folder: Path, count: int) -> None:
    """Different photos of 0.5 megapixel: crops of the examples at random places and sizes."""
    generator = random.Random(5)
    for number in range(count):
        photo = Image.open(EXAMPLES[number % len(EXAMPLES)]).convert("RGB")
        share = generator.uniform(0.7, 1)
        width, height = int(photo.width * share), int(photo.height * share)
        left, top = generator.randint(0, photo.width - width), generator.randint(0, photo.height - height)
        crop = photo.crop((left, top, left + width, top + height))
        crop.resize((816, 612), Image.Resampling.BICUBIC).save(folder / f"IMG_{number:05}.jpg", quality=92)


def speed(count: int) -> None:
    engine = Watched(LocalEngine.open("preview"))
    sampling, limit = Sampling(), engine.about.max_pixels
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "photos", Path(place) / "out"
        folder.mkdir()
        make_photos(folder, count)
        sample = sorted(folder.iterdir())[:: max(1, count // 24)]
        published(engine.engine, assessment(load_photo(sample[0]))[0], sampling, limit)  # warm up
        theirs = ours = 0.0
        started = time.perf_counter()
        for state in rank_folder(engine, folder, out):
            if state.done == state.total // 2:
                ours += time.perf_counter() - started
                begun = time.perf_counter()
                for path in sample:
                    for request in assessment(load_photo(path)):
                        published(engine.engine, request, sampling, limit)
                theirs = time.perf_counter() - begun
                started = time.perf_counter()
        ours += time.perf_counter() - started
    rate, published_rate = count / ours, len(sample) / theirs
    print(
        f"{count} photos of 0.5 megapixel: {rate:.2f} a second, published way {published_rate:.2f} "
        f"({len(sample)} photos), ratio {rate / published_rate:.2f}; model idle {1 - engine.busy / ours:.1%}"
    )


def memory(count: int) -> None:
    from shared.engines import PixelEngine

    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "photos", Path(place) / "out"
        folder.mkdir()
        for number in range(count):
            shade = (number % 256, number // 256, 7)
            Image.new("RGB", (64, 56), shade).save(folder / f"{number:06}.png", compress_level=1)
        engine, process, base = PixelEngine(), psutil.Process(), 0
        for state in rank_folder(engine, folder, out):
            engine.asked.clear()
            if state.done == 100:
                base = process.memory_info().rss
        grown = process.memory_info().rss - base
    print(f"{count} rows: memory grew by {grown / 1e6:.0f} MB after the first 100")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10_000)
    options = parser.parse_args()
    if options.photos:
        speed(options.photos)
    if options.rows:
        memory(options.rows)


if __name__ == "__main__":
    main()

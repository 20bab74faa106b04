"""How near the expected rating, read from one greedy reply, is to the mean over every rating that the model might write.

python tests/benchmarks/expected.py PHOTOS [COUNT]
"""

import statistics
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo
from qinsight.photos.listing import photos_in
from shared.enumerated import expected_and_mean


def main(folder: Path, count: int) -> None:
    """A line: of how many photos, how far apart on average and at most."""
    engine = LocalEngine.open("preview", Device.CPU)
    names = photos_in(folder)[:count]
    both = [expected_and_mean(engine, load_photo(folder / name)) for name in names]
    apart = [abs(expected - mean) for expected, mean in both]
    print(f"of {len(apart)} photos: {statistics.fmean(apart):.4f} apart on average, {max(apart):.3f} at most")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100)

"""What the preview's intervals say of real photographs, whose ratings nobody knows: `python tests/benchmarks/intervals.py SHOTS`.

SHOTS holds pairs, `*_real.*` (a shot with noise) and `*_mean.*` (the mean of many such): of each the better one is known.
Whether an interval covers a person's rating cannot be counted there; whether two that lie apart are in the right order can.
"""

import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from qinsight.assess import ask, assessment, last
from qinsight.engines.checkpoint import PREVIEW
from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.trust.confidence import calibration_for, confidence


def main(shots: Path) -> None:
    engine = LocalEngine.open("preview")
    known = calibration_for(engine.about, str(PREVIEW))

    def told(path: Path) -> tuple[float, float, float]:
        (asked,) = last(ask(engine, assessment(load_photo(path), [Task.SCORE])))
        said = confidence(known, asked)
        assert said
        assert asked.expected_rating
        return asked.expected_rating, *said["interval"]

    pairs = []
    for clean in sorted(shots.glob("*_mean.*")):
        noisy = clean.with_name(clean.name.replace("_mean.", "_real."))
        pairs.append((told(clean), told(noisy)))
    ends = [(one, other) for (_, *one), (_, *other) in pairs]
    apart = (
        sum(clean[0] > noisy[1] for clean, noisy in ends),
        sum(noisy[0] > clean[1] for clean, noisy in ends),
    )
    wider = median(high - low for pair in ends for low, high in pair)
    higher = sum(clean[0] > noisy[0] for clean, noisy in pairs)
    print(f"{len(pairs)} pairs; median width {wider:.2f}; the clean one rated higher {higher}")
    print(f"intervals apart: {apart[0]} with the clean one above, {apart[1]} with the noisy one above")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

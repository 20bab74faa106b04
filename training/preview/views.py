"""The held-out photographs as the preview is examined on them, as files with labels: what its calibration is made from.

    python -m training.preview.views --photos PHOTOS --out VIEWS

Each photo at every distortion and level and four times clean, each at a random size; the same views as in the card.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qinsight.answers import Clean, Degradation, Distortion, Severity
from qinsight.prompts import Task
from training.data.degrade import Degraded
from training.data.examples import Example, Rated, write_examples
from training.data.originals import list_photos, open_photos
from training.preview.examine import whole_views

NAME = "held-out"
EXAMINED = 2026  # with the seed, as `training.preview.examine` draws its views


def write_views(photos: Path, out: Path, seed: int = 1) -> int:
    """Write every view below `out` and what is true of it into `out/labels.jsonl`; how many there are."""
    out.mkdir(parents=True, exist_ok=True)
    return write_examples(out / "labels.jsonl", _examples(photos, out.resolve(), seed)) // 2


def _examples(photos: Path, out: Path, seed: int) -> Iterator[Example]:
    rng = np.random.default_rng((seed, EXAMINED))
    listed = [photo for photo in list_photos(photos) if photo.held_out and not photo.check]
    for photo, image in zip(listed, open_photos(photos, held_out=True), strict=True):
        for number, view in enumerate(whole_views(image, rng)):
            file = out / f"{photo.name}-{number:02}.png"
            view.image.save(file, compress_level=1)
            yield from _about(view, file, photo.name)


def _about(view: Degraded, file: Path, source: str) -> Iterator[Example]:
    rated = Rated(round(view.mos, 3), round(view.mos, 3))
    named: Degradation | Clean = Clean()
    if view.distortion_class != "null":
        named = Degradation(Distortion(view.distortion_class), Severity(view.severity))
    for task, target in ((Task.SCORE, rated), (Task.DEGRADATION, named)):
        yield Example(f"{NAME}/{file.stem}:{task}", NAME, task, (file,), target, source)


def main() -> None:
    parser = argparse.ArgumentParser(description="write the views on which the preview is examined")
    parser.add_argument("--photos", type=Path, required=True, help="what `training.preview.collect` wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="VIEWS")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(f"{write_views(asked.photos, asked.out, asked.seed)} views in {asked.out}")


if __name__ == "__main__":
    main()

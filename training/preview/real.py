"""The preview on photographs whose truth nobody here made up: pairs of real noise, pristine photographs, and faults as
cameras make them on those; beside the Laplacian variance and the plain statistics that were taught on the same lessons.

Pairs are files `NAME_mean.*` (many shots averaged) and `NAME_real.*` (one of them), as in PolyU's set.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from qinsight.engines.local import LocalEngine
from qinsight.photos import load_photo
from qinsight.prompts import Task
from qinsight.requests import Request
from training.data.degrade import KINDS, Degraded, degrade_at, leave_clean
from training.data.faults import FAULTS, afflict, carry
from training.preview.asked import ask, fall, named, rating, share
from training.preview.classical import Classical

POSITIONS = np.linspace(0, 5, 9)
FAULTY = (2, 3.5)  # positions at which whole photographs are asked about
LADDERS = (
    "sensor_noise",
    "grain",
    "focus",
    "shake",
    "jpeg",
    "jpeg2000",
    "jitter",
    "sharpened",
    "bleeding_colours",
)

Cells = tuple[str, str, str, str]
"""What was measured; the model's number, the Laplacian's, the plain statistics'."""


@dataclass(frozen=True)
class Judged:
    """What one judge makes of a row of photos: a rating of each, and its class where the judge names one."""

    ratings: list[float | None]
    classes: list[str] | None = None


Judge = Callable[[Sequence[Image.Image]], Judged]


def on_real_photos(
    engine: LocalEngine,
    pristine: Sequence[Image.Image],
    pairs: Path | None,
    trees: Classical | None,
    seed: int,
) -> list[Cells]:
    """All rows; `pairs` is a folder of shots with noise beside their clean means."""
    judges: list[Judge] = [lambda photos: _model(engine, photos), _laplacian]
    if trees:
        judges.append(lambda photos: _statistics(trees, photos))
    rng = np.random.default_rng((seed, 41))
    rows = list(_noise_pairs(judges, pairs)) if pairs else []
    if not pristine:
        return rows
    rows += _pristine(judges, pristine, rng)
    rows += _faulty(judges, pristine, rng)
    return rows + list(_ladders(judges, pristine, rng))


def laplacian(photo: Image.Image) -> float:
    """The logarithm of the variance of the Laplacian: the oldest measure of sharpness."""
    luma = np.asarray(photo.convert("L"), np.float32)
    inner = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    return float(np.log(inner.var() + 1e-3))


def _model(engine: LocalEngine, photos: Sequence[Image.Image]) -> Judged:
    answers = ask(
        engine, [Request(task, (photo,)) for photo in photos for task in (Task.SCORE, Task.DEGRADATION)]
    )
    return Judged([rating(one) for one in answers[::2]], [named(one)[0] for one in answers[1::2]])


def _laplacian(photos: Sequence[Image.Image]) -> Judged:
    return Judged([laplacian(photo) for photo in photos])


def _statistics(trees: Classical, photos: Sequence[Image.Image]) -> Judged:
    told, opinions = trees.look([leave_clean(photo) for photo in photos])
    return Judged([float(one) for one in opinions], [name for name, _ in told])


def _noise_pairs(judges: list[Judge], folder: Path) -> Iterator[Cells]:
    clean = sorted(folder.glob("*_mean.*"))
    noisy = [file.with_name(file.name.replace("_mean.", "_real.")) for file in clean]
    if not clean:
        raise SystemExit(f"expected pairs NAME_mean.* and NAME_real.* in {folder}, found none")
    photos = [load_photo(file) for file in (*clean, *noisy)]
    told = [judge(photos) for judge in judges]
    half = len(clean)
    yield _row(
        f"{half} real pairs: the clean one rated higher",
        told,
        lambda one: [_above(a, b) for a, b in zip(one.ratings[:half], one.ratings[half:], strict=True)],
    )
    yield _row("their noisy shots called noise", told, lambda one: _are(one, "noise", half))
    yield _row("their clean ones called noise", told, lambda one: _are(one, "noise", 0, half))


def _pristine(
    judges: list[Judge], photos: Sequence[Image.Image], rng: np.random.Generator
) -> Iterator[Cells]:
    carried = [carry(leave_clean(photo), rng).image for photo in photos]
    for name, shown in (("as they are", list(photos)), ("as JPEG or WebP", carried)):
        told = [judge(shown) for judge in judges]
        most = ", ".join(f"{what} {count}" for what, count in Counter(told[0].classes).most_common())
        yield _row(
            f"{len(shown)} pristine photographs {name}, called null (said: {most})",
            told,
            partial(_are, name="null"),
        )


def _faulty(judges: list[Judge], photos: Sequence[Image.Image], rng: np.random.Generator) -> Iterator[Cells]:
    for kind, fault in FAULTS.items():
        if fault.distortion == "other":
            continue
        shown = [
            carry(afflict(photo, kind, FAULTY[place % 2], rng), rng).image
            for place, photo in enumerate(photos)
        ]
        told = [judge(shown) for judge in judges]
        most = ", ".join(f"{what} {count}" for what, count in Counter(told[0].classes).most_common())
        right = partial(_are, name=fault.distortion)
        yield _row(f"{kind}: called {fault.distortion} (said: {most})", told, right)


def _ladders(judges: list[Judge], photos: Sequence[Image.Image], rng: np.random.Generator) -> Iterator[Cells]:
    """For each kind the median SRCC of rating and position over photographs, and the share with the wrong sign."""
    for kind in LADDERS:
        rungs = [carry(_at(photo, kind, float(at), rng), rng).image for photo in photos for at in POSITIONS]
        told = [judge(rungs) for judge in judges]
        found = [
            [fall(one.ratings[start : start + len(POSITIONS)]) for start in _starts(rungs)] for one in told
        ]
        cells = [f"{np.median(one):.3f}, {np.mean(np.array(one) <= 0):.2f}" for one in found]
        yield (f"ladder of growing {kind}: median SRCC, share that does not fall", *_padded(cells))


def _starts(rungs: Sequence[Image.Image]) -> range:
    return range(0, len(rungs), len(POSITIONS))


def _at(photo: Image.Image, kind: str, position: float, rng: np.random.Generator) -> Degraded:
    if not position:
        return leave_clean(photo)
    if kind in KINDS:
        return degrade_at(photo, kind, max(1.0, position), rng)
    return afflict(photo, kind, position, rng)


def _above(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and a > b


def _are(one: Judged, name: str, start: int = 0, end: int | None = None) -> list[bool] | None:
    return [said == name for said in one.classes[start:end]] if one.classes else None


def _row(name: str, told: Sequence[Judged], right: Callable[[Judged], list[bool] | None]) -> Cells:
    flags = [right(one) for one in told]
    return (name, *_padded([share(one) if one is not None else "" for one in flags]))


def _padded(cells: Sequence[str]) -> tuple[str, str, str]:
    model, plain, trees = (*cells, "", "")[:3]
    return model, plain, trees

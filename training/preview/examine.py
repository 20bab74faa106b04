"""The preview checkpoint on photos it never saw: how often it is right, beside what 30 statistics and boosted trees make
of the same views, and beside chance; poor rows included.

Every held-out photo is asked about whole, as the page sends it: 24 times degraded or clean (each distortion
at each level once), at a random size up to its own, through the engine that the app uses.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import stats

from qinsight.answers import (
    Answer,
    Clean,
    Comparison,
    Degradation,
    Distortion,
    Score,
    Severity,
    Winner,
)
from qinsight.engines.checkpoint import Device
from qinsight.engines.local import LocalEngine
from qinsight.photos.view import TOKEN
from qinsight.prompts import Task
from qinsight.requests import Request
from training.data import crops
from training.data.degrade import DISTORTIONS, SEVERITIES, Degraded, degrade, degrade_at, leave_clean
from training.data.originals import open_photos
from training.preview import classical
from training.preview.asked import area, ask, fall, named, rating, share
from training.preview.real import on_real_photos

STATISTICS = "30 statistics, boosted trees"
CLEAR_DIFFERENCE = 0.7  # in mean opinion score

# Width and height of whole photos, from the smallest the processor takes to one megapixel.
SIZES = (
    *((56, 56), (112, 84), (224, 168), (448, 336), (640, 480), (896, 672), (1120, 840), (1277, 783)),
    *((56, 224), (224, 56), (160, 640), (640, 160), (500, 2000), (2000, 500), (4000, 3000)),
)

# One kind of each family, at strengths that grow in even steps from level 1 to level 5.
LADDERS = {"blur": "gaussian_blur", "compression": "jpeg", "noise": "white_noise", "darken": "underexposure"}
RUNGS = 9
LADDER_TOKENS = 150


@dataclass(frozen=True)
class Size:
    """How much is asked: of every `every`-th held-out photo, and how many pairs."""

    every: int = 1
    pairs: int = 200
    triples: int = 100


def examine(folder: Path, photos: Path, seed: int, size: Size = Size(), pairs: Path | None = None) -> str:
    """All numbers of a checkpoint as two Markdown tables: textbook degradations, then real material."""
    began = time.monotonic()
    engine = LocalEngine.open(str(folder), Device.CPU)
    trees = classical.Classical(open_photos(photos, held_out=False), seed) if classical.available() else None
    originals = open_photos(photos, held_out=True)[:: size.every]
    rng = np.random.default_rng((seed, 2026))
    views = [view for photo in originals for view in whole_views(photo, rng)]
    both = ask(
        engine, [Request(task, (view.image,)) for view in views for task in (Task.DEGRADATION, Task.SCORE)]
    )
    rows = [*_degradations(both[::2], views), *_ratings(both[1::2], views)]
    plain = _classical(trees, views) if trees else []
    rows += _comparisons(engine, views, size.pairs, rng)
    rows += _with_reference(engine, originals, size.triples, rng)
    rows += _every_size(engine, originals, rng)
    rows += _ladders(engine, originals, rng)
    head = (
        f"{len(originals)} held-out photos, {len(views)} views, {(time.monotonic() - began) / 60:.1f} minutes"
    )
    lines = [
        f"| {name} | {value} | {other} | {chance} |"
        for (name, value, chance), (_, other, _) in zip_longest(rows, plain, fillvalue=("", "", ""))
    ]
    titles = [f"| what | ours | {STATISTICS} | chance |", "| --- | --- | --- | --- |"]
    kept = open_photos(photos, held_out=True, check=True, at_least=0)[:: size.every]
    real = on_real_photos(engine, kept, pairs, trees, seed)
    others = [f"| what, on real material | ours | log Laplacian variance | {STATISTICS} |", titles[1]]
    table = [f"| {' | '.join(row)} |" for row in real]
    return "\n".join([head, "", *titles, *lines, "", *others, *table])


def whole_views(photo: Image.Image, rng: np.random.Generator) -> Iterator[Degraded]:
    """A photo at each distortion and level and four times clean, each at a random size."""
    made: list[tuple[str, int]] = [(name, level) for name in DISTORTIONS for level in range(1, 6)]
    for distortion, level in made + [("null", 0)] * 4:
        own = area(photo) / TOKEN**2
        tokens = np.exp(rng.uniform(np.log(16), np.log(min(own, crops.MAX_TOKENS))))
        smaller = _resized(photo, (tokens / own) ** 0.5)
        yield degrade(smaller, distortion, level, rng) if level else leave_clean(smaller)


def _degradations(answers: list[Answer | None], views: list[Degraded]) -> list[tuple[str, str, str]]:
    said_of = [named(answer) for answer in answers]
    truth = [(view.distortion_class, view.severity) for view in views]
    right = [said[0] == true[0] for said, true in zip(said_of, truth, strict=True)]
    damaged = [number for number, true in enumerate(truth) if true[0] != "null"]
    near = [right[n] and abs(_level(said_of[n][1]) - _level(truth[n][1])) <= 1 for n in damaged]
    counts = Counter(true[0] for true in truth)
    rows = [
        ("degradation: readable answers", share([answer is not None for answer in answers]), ""),
        ("degradation: class", share(right), f"{max(counts.values()) / len(truth):.3f}"),
        (
            "degradation: class and severity",
            share([said == true for said, true in zip(said_of, truth, strict=True)]),
            f"{counts['null'] / len(truth):.3f} (always null)",
        ),
        ("degradation: class, severity within one level (degraded only)", share(near), "0.130"),
    ]
    for name in (*DISTORTIONS, "null"):
        mine = [number for number, true in enumerate(truth) if true[0] == name]
        said = Counter(said_of[number][0] for number in mine)
        most = ", ".join(f"{what} {count}" for what, count in said.most_common())
        rows.append((f"recall of {name} (said: {most})", share([right[number] for number in mine]), "0.200"))
    return rows


def _ratings(answers: list[Answer | None], views: list[Degraded]) -> list[tuple[str, str, str]]:
    read = [
        (one.rating, view.mos) for one, view in zip(answers, views, strict=True) if isinstance(one, Score)
    ]
    said, true = np.array(read).T
    return [
        ("rating: readable answers", share([answer is not None for answer in answers]), ""),
        ("rating: PLCC with the pseudo-MOS", f"{np.corrcoef(said, true)[0, 1]:.3f}", "0"),
        ("rating: SRCC with the pseudo-MOS", f"{stats.spearmanr(said, true).statistic:.3f}", "0"),
        (
            "rating: mean absolute error",
            f"{np.abs(said - true).mean():.3f}",
            f"{np.abs(np.median(true) - true).mean():.3f}",
        ),
        ("rating: different values written", f"{len(set(said))}", ""),
    ]


def _comparisons(
    engine: LocalEngine, views: list[Degraded], number: int, rng: np.random.Generator
) -> list[tuple[str, str, str]]:
    pairs: list[tuple[Degraded, Degraded]] = []
    while len(pairs) < number:
        a, b = (views[int(place)] for place in rng.integers(len(views), size=2))
        if abs(a.mos - b.mos) >= CLEAR_DIFFERENCE:
            pairs.append((a, b))
    asked = [
        Request(Task.COMPARISON, (one.image, two.image)) for a, b in pairs for one, two in ((a, b), (b, a))
    ]
    answers = ask(engine, asked)
    truth = [a.mos > b.mos for a, b in pairs for a, b in ((a, b), (b, a))]
    first = [isinstance(answer, Comparison) and answer.winner is Winner.A for answer in answers]
    readable = [isinstance(one, Comparison) and one.winner is not Winner.SIMILAR for one in answers]
    right = [said == true and ok for said, true, ok in zip(first, truth, readable, strict=True)]
    steady = [first[n] != first[n + 1] and readable[n] and readable[n + 1] for n in range(0, len(first), 2)]
    return [
        ("comparison: readable answers", share(readable), ""),
        (f"comparison: the better photo, {CLEAR_DIFFERENCE} MOS or more apart", share(right), "0.500"),
        ("comparison: same winner in both orders", share(steady), "0.500"),
    ]


def _with_reference(
    engine: LocalEngine, photos: list[Image.Image], number: int, rng: np.random.Generator
) -> list[tuple[str, str, str]]:
    asked, truth = [], []
    for _ in range(number):
        photo = photos[rng.integers(len(photos))]
        scale = (np.exp(rng.uniform(np.log(16), np.log(400))) * TOKEN**2 / area(photo)) ** 0.5
        views = [crops.draw_degradation(_resized(photo, min(1, scale)), rng) for _ in range(3)]
        views.sort(key=lambda view: view.mos)
        a, b = (views[1 + int(place)] for place in rng.permutation(2))
        asked.append(Request(Task.COMPARISON, (views[0].image, a.image, b.image), reference=True))
        truth.append(_winner(a.mos - b.mos))
    answers = ask(engine, asked)
    right = [
        isinstance(one, Comparison) and one.winner is true for one, true in zip(answers, truth, strict=True)
    ]
    return [
        ("comparison with a reference: readable answers", share([one is not None for one in answers]), ""),
        (
            "comparison with a reference: A, B or Similar (within 0.3 MOS)",
            share(right),
            f"{max(Counter(truth).values()) / number:.3f}",
        ),
    ]


def _classical(trees: classical.Classical, views: list[Degraded]) -> list[tuple[str, str, str]]:
    """The same rows for the classical reference, which has learnt from the training photos."""
    told, opinions = trees.look(views)
    answers: list[Answer | None] = [
        Clean() if name == "null" else Degradation(Distortion(name), Severity(severity))
        for name, severity in told
    ]
    rows = _degradations(answers, views)
    return rows + _ratings([Score(float(np.clip(opinion, 1, 5))) for opinion in opinions], views)


def _ladders(
    engine: LocalEngine, photos: list[Image.Image], rng: np.random.Generator
) -> Iterator[tuple[str, str, str]]:
    """How well the ratings fall while a photo gets worse step by step, clean at first."""
    positions = np.linspace(1, 5, RUNGS)
    for distortion, kind in LADDERS.items():
        asked = []
        for photo in photos:
            smaller = _resized(photo, min(1, (LADDER_TOKENS * TOKEN**2 / area(photo)) ** 0.5))
            worse = [degrade_at(smaller, kind, float(at), rng).image for at in positions]
            asked += [Request(Task.SCORE, (view,)) for view in (smaller, *worse)]
        ratings = [rating(answer) for answer in ask(engine, asked)]
        starts = range(0, len(ratings), RUNGS + 1)
        found = [fall(ratings[start : start + RUNGS + 1]) for start in starts]
        name = f"ladder of growing {distortion} ({kind}, {RUNGS} strengths): ratings fall, median SRCC"
        yield f"{name} ({ratings.count(None)} unreadable)", f"{np.median(found):.3f}", "0"


def _every_size(
    engine: LocalEngine, photos: list[Image.Image], rng: np.random.Generator
) -> Iterator[tuple[str, str, str]]:
    for wide, high in SIZES:
        asked = []
        for place in rng.integers(len(photos), size=3):
            photo = photos[place].resize((wide, high), Image.Resampling.LANCZOS)
            other = photos[place - 1]
            a, b = (crops.draw_degradation(one, rng).image for one in (photo, other))
            asked += [Request(Task.SCORE, (a,)), Request(Task.DEGRADATION, (a,))]
            asked += [Request(Task.COMPARISON, pair) for pair in ((a, b), (b, a))]
            asked.append(Request(Task.COMPARISON, (a, photo, a), reference=True))
        readable = [answer is not None for answer in ask(engine, asked)]
        yield f"readable at {wide} x {high}, all tasks ({len(asked)} questions)", share(readable), ""


def _level(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else -9


def _winner(difference: float) -> Winner:
    if abs(difference) < 0.3:
        return Winner.SIMILAR
    return Winner.A if difference > 0 else Winner.B


def _resized(photo: Image.Image, scale: float) -> Image.Image:
    size = max(28, round(photo.width * scale)), max(28, round(photo.height * scale))
    return photo.resize(size, Image.Resampling.LANCZOS)

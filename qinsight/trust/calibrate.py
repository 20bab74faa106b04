"""Ask a model about photographs with labels, and keep what its answers were worth."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image

from qinsight.ahead import ahead
from qinsight.assess import Asked, ask_each, assessment, described
from qinsight.errors import PhotoError, QInsightError, RequestFailed
from qinsight.odds import mean_of, spread_of
from qinsight.photos import read_photo
from qinsight.photos.view import view
from qinsight.prompts import Task
from qinsight.ranking.folder import QUESTIONS
from qinsight.requests import GREEDY, Engine, Sampling
from qinsight.sentence import Sentence
from qinsight.trust.calibration import LEAST, Calibration, Point, Reliability, coverage
from qinsight.trust.labels import Label

SPLITS = 10


@dataclass
class Heard:
    """What came of the labelled photographs so far; `left` says why some are no part of it."""

    points: list[Point] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    classes: dict[str, Reliability] = field(default_factory=dict)
    left: list[Sentence] = field(default_factory=list)
    done: int = 0

    def add(self, label: Label, replies: Sequence[Asked]) -> None:
        """Take in the replies about one photo."""
        told = {one.request.task: one for one in replies}
        diagnosis, score = told.get(Task.DEGRADATION), told.get(Task.SCORE)
        named = str(described(diagnosis.answer).get("distortion_class", "")) if diagnosis else ""
        if label.distortion_class is not None and named:
            self._add_class(named, label.distortion_class)
        if label.rating is not None and score and score.rating_odds:
            odds = score.rating_odds
            self.points.append(Point(mean_of(odds), spread_of(odds), label.rating, named))
            self.sources.append(label.source or str(label.photo))
        elif label.rating is not None and score:
            self.leave(label, score.error or Sentence("the model gave no odds of its rating"))
        elif label.distortion_class is not None and diagnosis and diagnosis.error:
            self.leave(label, diagnosis.error)

    def leave(self, label: Label, why: Sentence) -> None:
        """A photo that could not be asked about, or whose reply could not be read: counted, never guessed."""
        self.left.append(Sentence("{photo}: {why}", photo=label.photo, why=why))

    def _add_class(self, named: str, label: str | None) -> None:
        right, times = self.classes.get(named, Reliability(0, 0))
        self.classes[named] = Reliability(right + (named == label), times + 1)


def hear(
    engine: Engine, labels: Sequence[Label], *, sampling: Sampling = GREEDY, max_pixels: int | None = None
) -> Iterator[Heard]:
    """Ask about every labelled photo, greedily; yields after each batch, and at last all that came.

    Photos of like size are asked about together, as far as their files tell.
    """
    labels = sorted(labels, key=lambda label: label.photo.stat().st_size if label.photo.is_file() else 0)
    limit = engine.about.at(max_pixels).max_pixels
    heard = Heard()
    batch: list[tuple[Label, Image.Image]] = []
    for seen in ahead(lambda label: (label, _seen(label, limit)), labels, engine.about.batch):
        if seen is None:
            continue
        label, photo = seen
        if isinstance(photo, Sentence):
            heard.leave(label, photo)
            heard.done += 1
            continue
        batch.append((label, photo))
        if len(batch) == engine.about.batch:
            yield _told(engine, batch, sampling, limit, heard)
            batch = []
    yield _told(engine, batch, sampling, limit, heard)


def calibrated(engine: Engine, heard: Heard, holds_for: str, max_pixels: int | None = None) -> Calibration:
    """The calibration of this engine from what was heard; `QInsightError` where that is too little."""
    about = engine.about.at(max_pixels)
    if len(heard.points) < LEAST and heard.left:
        raise QInsightError(
            "Expected at least {least} labelled photographs that the model could rate, got {number}. {left} were "
            "left out, the first: {first}",
            least=LEAST,
            number=len(heard.points),
            left=len(heard.left),
            first=heard.left[0],
        )
    return Calibration(
        about.name,
        about.weights,
        about.precision,
        about.max_pixels,
        holds_for,
        tuple(heard.points),
        heard.classes,
    )


def tried(calibration: Calibration, sources: Sequence[str], seed: int = 1) -> list[tuple[float, float]]:
    """Coverage and median width on the other half, over ten halves; photos of one original stay together."""
    found = []
    dice = random.Random(seed)
    names = sorted(set(sources))
    for _ in range(SPLITS):
        held = set(dice.sample(names, len(names) // 2))
        ours, others = (
            tuple(
                point
                for point, source in zip(calibration.points, sources, strict=True)
                if (source in held) is kept
            )
            for kept in (False, True)
        )
        if min(len(ours), len(others)) >= LEAST:
            part = Calibration("", "", "", calibration.max_pixels, "", ours)
            found.append(coverage(part, others))
    return found


def _seen(label: Label, limit: int) -> Image.Image | Sentence:
    try:
        return view(read_photo(label.photo).image, limit)
    except PhotoError as error:
        return error.sentence


def _told(
    engine: Engine, batch: Sequence[tuple[Label, Image.Image]], sampling: Sampling, limit: int, heard: Heard
) -> Heard:
    tasks = [task for task in QUESTIONS if task in engine.about.tasks]
    questions = {number: assessment(photo, tasks) for number, (_, photo) in enumerate(batch)}
    for number, replies in ask_each(engine, questions, sampling, max_pixels=limit):
        if isinstance(replies, RequestFailed):
            heard.leave(batch[number][0], replies.sentence)
        else:
            heard.add(batch[number][0], replies)
    heard.done += len(batch)
    return heard

"""The package in a program: photos scored, diagnosed, compared and ranked in one line each.

    import qinsight

    print(qinsight.score("cat.jpg").rating)          # the best model that fits here, loaded once

    with qinsight.open("preview") as model:          # or a folder, a hub id; endpoint="http://host:8000/v1"
        for path in paths:
            print(path, model.diagnose(path))

What cannot be read is an error: `PhotoError` for a photo, `AnswerError` for a reply, `EngineError` for a model.
Import it before torch, whose threads else wait by spinning: beside one busy process a question took 20 s instead of 0.35.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from PIL import Image

from qinsight.answers import Answer, Clean, Degradation, Score
from qinsight.assess import MOST_SAMPLES, Asked, ask, assessment, comparison, last, samples, summary, verdict
from qinsight.engines.checkpoint import Device, Precision, silent
from qinsight.errors import AnswerError, EngineError, QInsightError
from qinsight.flags import open_here
from qinsight.photos import Source, load_photo
from qinsight.prompts import Order, Task
from qinsight.ranking.folder import rank_folder, ranking
from qinsight.ranking.rows import Row
from qinsight.requests import Engine, Request, Sampling
from qinsight.trust.order import Orders
from qinsight.trust.strengths import Strength
from qinsight.trust.told import verdict as told_verdict
from qinsight.trust.tournament import Pair, check_frames, tournament

Picture = Source | Image.Image
"""A photo by path, bytes or binary file; or in memory, upright RGB as `load_photo` gives it."""


@dataclass(frozen=True)
class Rating:
    """How good a photo is, from 1 to 5: as written, and as the mean over what the model might have written.

    `odds` are the model's own odds of each rating. They and `expected_rating` are None where a server gives none.
    """

    rating: float
    expected_rating: float | None
    thinking: str
    odds: dict[float, float] | None = None

    def __str__(self) -> str:
        return f"{self.rating:.2f}"


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a photo. A clean photo has neither class nor severity.

    `severity_odds` and `distortion_odds` are the model's own; they may be unknown.
    """

    distortion_class: str | None
    severity: str | None
    severity_odds: dict[str, float] | None
    thinking: str
    distortion_odds: dict[str, float] | None = None

    def __str__(self) -> str:
        return f"{self.severity} {self.distortion_class}" if self.distortion_class else "clean"


@dataclass(frozen=True)
class Samples:
    """What several replies to one question come to; those that could not be read are counted, never guessed.

    `rating` is the mean of the ratings and `spread` their standard deviation, None for a diagnosis. `counts` is
    the histogram: an answer in words, and how often it came. `agreement` is the most frequent one's share.
    """

    rating: float | None
    spread: float | None
    counts: tuple[tuple[str, int], ...]
    agreement: float
    unreadable: int
    thinking: tuple[str, ...]

    def __str__(self) -> str:
        most = max(self.counts, key=lambda pair: pair[1])[0]
        return most if self.rating is None else f"{self.rating:.2f} (spread {self.spread:.2f})"


@dataclass(frozen=True)
class Preference:
    """Which of two photos is better: `Image A`, `Image B`, `Similar`, or None where the two orders disagree."""

    winner: str | None
    sentence: str
    thinking: tuple[str, ...]

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Standings:
    """What a tournament came to; photos are told by their places, from 0.

    `winner` is None where the best cannot be told from the others in `top`. `strengths` are log-odds beside the mean
    photo, with the interval that holds 95 in 100 and the chance to be the best; `intransitive` triples go in a circle.
    """

    winner: int | None
    top: tuple[int, ...]
    strengths: tuple[Strength, ...]
    pairs: tuple[Pair, ...]
    intransitive: list[tuple[int, int, int]]
    order: Orders
    sentence: str

    def __str__(self) -> str:
        return self.sentence


class Model:
    """A model that was opened once: it is asked as often as one likes, and given back at the end of `with`."""

    def __init__(self, engine: Engine, sampling: Sampling, max_pixels: int | None) -> None:
        self._engine: Engine | None = engine
        self.sampling, self.max_pixels = sampling, max_pixels
        self.order = Orders()  # of all pairs it has been asked in both orders

    @property
    def engine(self) -> Engine:
        """What answers; `EngineError` once it was closed."""
        if self._engine is None:
            raise EngineError("Expected an open model, got one that was closed. Open it again.")
        return self._engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the weights, on a GPU and in a process of their own too."""
        if close := getattr(self._engine, "close", None):
            close()
        self._engine = None
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def score(self, photo: Picture) -> Rating:
        """The photo's rating."""
        return _rating(*self._ask(assessment(_opened(photo), [Task.SCORE])))

    def diagnose(self, photo: Picture) -> Diagnosis:
        """The photo's degradation and how severe it is."""
        return _diagnosis(*self._ask(assessment(_opened(photo), [Task.DEGRADATION])))

    def samples(
        self,
        photo: Picture,
        task: Task = Task.SCORE,
        number: int = 8,
        *,
        temperature: float = 1.0,
        seed: int = 42,
    ) -> Samples:
        """The same question asked several times with other dice, the photo looked at once; a seed gives them again."""
        if not 1 <= number <= MOST_SAMPLES:
            raise QInsightError(
                "Expected a number of samples from 1 to {most}, got {number}.",
                most=MOST_SAMPLES,
                number=number,
            )
        dice = replace(self.sampling, temperature=temperature, seed=seed)
        asked = self._ask(samples(_opened(photo), task, number), dice)
        found = summary(asked)
        if not found.readable:
            raise AnswerError(asked[0].error or f"Expected an answer, got {asked[0].text!r}.")
        thinking = tuple(one.reply.thinking for one in asked)
        counts = tuple((_words(answer), count) for answer, count in found.counts)
        return Samples(found.rating, found.spread, counts, found.agreement or 0.0, found.unreadable, thinking)

    def assess(self, photo: Picture) -> tuple[Rating, Diagnosis]:
        """Both, asked together: the photo is looked at once."""
        rating, diagnosis = self._ask(assessment(_opened(photo)))
        return _rating(rating), _diagnosis(diagnosis)

    def compare(self, a: Picture, b: Picture, reference: Picture | None = None) -> Preference:
        """The better of two photos, asked in both orders; or in one, beside the `reference` that both improve on."""
        low = None if reference is None else _opened(reference)
        asked = self._ask(comparison(_opened(a), _opened(b), low))
        if low is None:
            self.order += Orders.of(asked)
        found = verdict(asked)
        if found is None:
            raise AnswerError(next(one.error for one in asked if one.error) or "Expected a winner, got none.")
        winner = None if found.winner is None else str(found.winner)
        return Preference(winner, found.sentence, tuple(one.reply.thinking for one in asked))

    def tournament(self, photos: Sequence[Picture]) -> Standings:
        """The best of 2 to 12 frames, told pair by pair in both orders, or that it cannot be told."""
        check_frames(len(photos))
        opened = [_opened(photo) for photo in photos]
        *_, found = tournament(self.engine, opened, self.sampling, max_pixels=self.max_pixels)
        self.order += found.orders
        said = told_verdict(found, [f"photo {place}" for place in range(len(photos))])
        return Standings(
            found.winner,
            found.top,
            found.strengths,
            found.pairs,
            found.intransitive,
            found.orders,
            said,
        )

    def rank(self, folder: Path | str, out: Path | str) -> list[Row]:
        """Every photo of a folder, best first; `out` is the memory of the run, which goes on where it stood."""
        run = rank_folder(
            self.engine, Path(folder), Path(out), sampling=self.sampling, max_pixels=self.max_pixels
        )
        for _ in run:
            pass
        return ranking(Path(out))

    def _ask(self, requests: list[Request], sampling: Sampling | None = None) -> tuple[Asked, ...]:
        sampling = sampling or self.sampling
        return last(ask(self.engine, requests, sampling, max_pixels=self.max_pixels, watched=False))


def open(  # as `PIL.Image.open`: called by its package's name
    model: str = "auto",
    *,
    endpoint: str | None = None,
    device: Device | str = Device.AUTO,
    precision: Precision | str = Precision.AUTO,
    order: Order | str | None = None,
    max_pixels: int | None = None,
    max_new_tokens: int = 1024,
) -> Model:
    """The model by name: `auto` (the best that fits here), `preview`, a folder, a hub id; or a server's address.

    `order` is the model's own where it is not given, of a server the question first. Its answers are greedy.
    """
    asked_first = None if order is None else Order(order)
    sampling = Sampling(max_new_tokens)
    if endpoint:
        from qinsight.engines.server import EndpointEngine

        name = None if model == "auto" else model
        server = EndpointEngine.open(endpoint, name, order=asked_first or Order.QUESTION_FIRST)
        return Model(server, sampling, max_pixels)
    engine = open_here(model, Device(device), Precision(precision), silent, asked_first)
    return Model(engine, sampling, max_pixels)


def score(photo: Picture, model: str = "auto") -> Rating:
    """The photo's rating from 1 to 5. The model stays in memory for the next question."""
    return _kept(model).score(photo)


def diagnose(photo: Picture, model: str = "auto") -> Diagnosis:
    """The photo's degradation and how severe it is."""
    return _kept(model).diagnose(photo)


def compare(a: Picture, b: Picture, reference: Picture | None = None, model: str = "auto") -> Preference:
    """The better of two photos."""
    return _kept(model).compare(a, b, reference)


def rank(folder: Path | str, out: Path | str, model: str = "auto") -> list[Row]:
    """Every photo of a folder, best first, as a list of rows; `out` keeps them, and goes on where it stood."""
    return _kept(model).rank(folder, out)


@lru_cache(maxsize=1)
def _kept(model: str) -> Model:
    return open(model)


def _opened(photo: Picture) -> Image.Image:
    if not isinstance(photo, Image.Image):
        return load_photo(photo)
    if photo.mode != "RGB":
        raise ValueError(f"expected an RGB image as load_photo gives, got mode {photo.mode}")
    return photo


def _rating(asked: Asked) -> Rating:
    if isinstance(asked.answer, Score):
        return Rating(asked.answer.rating, asked.expected_rating, asked.reply.thinking, asked.rating_odds)
    raise AnswerError(asked.error or f"Expected a rating, got {asked.text!r}.")


def _words(answer: Answer) -> str:
    match answer:
        case Score(rating):
            return f"{rating:g}"
        case Degradation(distortion, severity):
            return f"{severity} {distortion}"
    return "clean"


def _diagnosis(asked: Asked) -> Diagnosis:
    thinking = asked.reply.thinking
    match asked.answer:
        case Degradation(distortion, severity):
            named = str(distortion), str(severity)
            return Diagnosis(*named, asked.severity_odds, thinking, asked.distortion_odds)
        case Clean():
            return Diagnosis(None, None, asked.severity_odds, thinking, asked.distortion_odds)
    raise AnswerError(asked.error or f"Expected a diagnosis, got {asked.text!r}.")

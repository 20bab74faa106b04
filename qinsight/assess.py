"""Photos in, growing assessments out: score and diagnosis together, comparisons in both orders, samples."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from PIL import Image

from qinsight.answers import (
    Answer,
    Clean,
    Comparison,
    Degradation,
    Reply,
    Score,
    Winner,
    read_answer,
    read_reply,
)
from qinsight.errors import AnswerError, EngineError, RequestFailed
from qinsight.odds import Place, distortion_odds, mean_of, rating_odds, severity_odds
from qinsight.prompts import Task
from qinsight.requests import GREEDY, Engine, Finish, Reading, Request, Sampling
from qinsight.sentence import Sentence

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Asked:
    """One question and as much of its reply as has come. `seconds` runs from the question."""

    request: Request
    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    finish: Finish | None = None
    places: tuple[Place, ...] = ()
    reading: Reading | None = None  # before its first word

    @cached_property
    def reply(self) -> Reply:
        # A reply cut by the token limit is read like one still arriving: "3" may have become "3.95".
        return read_reply(self.text, finished=self.finish is Finish.STOP)

    @cached_property
    def answer(self) -> Answer | None:
        """The answer once the reply is finished and readable."""
        return None if self.finish is None or self.error else read_answer(self.request.task, self.reply)

    @cached_property
    def error(self) -> Sentence | None:
        """Why a finished reply has no answer, in a sentence."""
        if self.finish is None:
            return None
        try:
            read_answer(self.request.task, self.reply)
        except AnswerError as error:
            if self.finish is Finish.LENGTH:
                return Sentence(
                    "The reply was cut after {tokens} tokens, before its answer. {error}",
                    tokens=self.tokens,
                    error=error,
                )
            return error.sentence
        return None

    @cached_property
    def expected_rating(self) -> float | None:
        """The mean over the ratings the model might have written (see `qinsight.odds`)."""
        return None if self.rating_odds is None else mean_of(self.rating_odds)

    @cached_property
    def rating_odds(self) -> dict[float, float] | None:
        """The model's own odds of each rating; None where a server gives none, or there is no rating."""
        return rating_odds(self.text, self.places) if isinstance(self.answer, Score) else None

    @cached_property
    def severity_odds(self) -> dict[str, float] | None:
        return severity_odds(self.text, self.places)

    @cached_property
    def distortion_odds(self) -> dict[str, float] | None:
        return distortion_odds(self.text, self.places)


def ask(
    engine: Engine,
    requests: Sequence[Request],
    sampling: Sampling = GREEDY,
    *,
    max_pixels: int | None = None,
    stop: threading.Event | None = None,
    watched: bool = True,
) -> Generator[tuple[Asked, ...]]:
    """Ask all requests together; yields the state of every reply after each few words.

    In the last state every reply is finished. Closing the iterator stops the model. Where nobody has `watched`
    the words arrive, a server is asked for whole replies, which costs less.
    """
    started = time.monotonic()
    state = [Asked(request) for request in requests]
    stream = engine.stream(requests, sampling, max_pixels=max_pixels, stop=stop, watched=watched)
    try:
        for delta in stream:
            before = state[delta.request]
            places = before.places
            if delta.alternatives:
                places = (*places, Place(len(before.text), len(delta.text), delta.alternatives))
            state[delta.request] = replace(
                before,
                text=before.text + delta.text,
                tokens=before.tokens + delta.tokens,
                seconds=time.monotonic() - started,
                finish=delta.finish or before.finish,
                places=places,
                reading=delta.reading,
            )
            yield tuple(state)
        if any(one.finish is None for one in state):
            raise EngineError("The model fell silent before its reply was finished. Ask again.")
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def ask_each(
    engine: Engine,
    questions: Mapping[Key, Sequence[Request]],
    sampling: Sampling = GREEDY,
    *,
    max_pixels: int | None = None,
    stop: threading.Event | None = None,
) -> Iterator[tuple[Key, tuple[Asked, ...] | RequestFailed]]:
    """Ask the requests of all keys together; yields each key once its replies are finished, watched by nobody.

    Where that fails, those that are left are asked one by one, and a key that fails alone yields why.
    """
    if not questions:
        return
    requests = [request for mine in questions.values() for request in mine]
    left: dict[Key, slice] = {}
    start = 0
    for key, mine in questions.items():
        left[key] = slice(start, start := start + len(mine))
    try:
        with closing(
            ask(engine, requests, sampling, max_pixels=max_pixels, stop=stop, watched=False)
        ) as states:
            for state in states:
                for key in [key for key, place in left.items() if all(one.finish for one in state[place])]:
                    yield key, state[left.pop(key)]
    except RequestFailed as failure:
        if len(questions) == 1:
            yield from ((key, failure) for key in left)
            return
        for key in left:
            alone = {key: questions[key]}
            yield from ask_each(engine, alone, sampling, max_pixels=max_pixels, stop=stop)


def reading_of(asked: Sequence[Asked]) -> Reading | None:
    """How far the model is with what it reads before the first word of one of these."""
    return next((one.reading for one in asked if one.reading), None)


def last(states: Iterator[tuple[Asked, ...]]) -> tuple[Asked, ...]:
    """The finished state: the blocking form of `ask`."""
    state: tuple[Asked, ...] = ()
    for state in states:  # noqa: B007
        pass
    return state


def assessment(photo: Image.Image, tasks: Sequence[Task] = (Task.SCORE, Task.DEGRADATION)) -> list[Request]:
    """Score and diagnosis of one photo, to be asked together: the photo is looked at once."""
    return [Request(task, (photo,)) for task in tasks]


MOST_SAMPLES = 64  # of one question: their keys and values lie side by side in memory


def samples(photo: Image.Image, task: Task, number: int) -> list[Request]:
    """One question asked several times together: the photo is looked at and the prompt read once."""
    if not 1 <= number <= MOST_SAMPLES:
        raise ValueError(f"expected 1 to {MOST_SAMPLES} samples, got {number}")
    return assessment(photo, [task]) * number


def comparison(a: Image.Image, b: Image.Image, reference: Image.Image | None = None) -> list[Request]:
    """The requests that compare two photos: with a reference one, without it both orders."""
    if reference is not None:
        return [Request(Task.COMPARISON, (reference, a, b), reference=True, odds=False)]
    return [Request(Task.COMPARISON, pair, odds=False) for pair in ((a, b), (b, a))]


@dataclass(frozen=True)
class Verdict:
    """What the finished replies of a `comparison` come to. `winner` is None where the orders disagree."""

    winner: Winner | None
    sentence: Sentence


def verdict(asked: Sequence[Asked]) -> Verdict | None:
    """The better photo, named only where every order agrees (design 4.8); None where a reply is unreadable."""
    answers = [one.answer for one in asked]
    if not all(isinstance(answer, Comparison) for answer in answers):
        return None
    winners = [answer.winner for answer in answers if isinstance(answer, Comparison)]
    if len(winners) == 2:
        winners[1] = winners[1].swapped
    if len(set(winners)) > 1:
        said = Sentence(
            "Too close, or order-dependent: the model changed its mind when the photos changed places."
        )
        return Verdict(None, said)
    return Verdict(winners[0], _SAID[winners[0], len(winners) == 2])


_SAID = {
    (Winner.SIMILAR, True): Sentence("About equally good, in both orders."),
    (Winner.SIMILAR, False): Sentence("About equally good, against the reference."),
    (Winner.A, True): Sentence("Photo {letter} is better, in both orders.", letter="A"),
    (Winner.A, False): Sentence("Photo {letter} is better, against the reference.", letter="A"),
    (Winner.B, True): Sentence("Photo {letter} is better, in both orders.", letter="B"),
    (Winner.B, False): Sentence("Photo {letter} is better, against the reference.", letter="B"),
}  # by the winner, and whether both orders were asked


@dataclass(frozen=True)
class Summary:
    """What several samples of one question come to.

    `rating` is the mean of the readable ratings and `spread` their standard deviation; `answer` the most
    frequent diagnosis or verdict. `counts` says how often each answer came, most frequent first (of ratings:
    lowest first), and `agreement` is the share of the most frequent one among those that could be read.
    """

    readable: int
    asked: int
    rating: float | None = None
    spread: float | None = None
    answer: Answer | None = None
    agreement: float | None = None
    counts: tuple[tuple[Answer, int], ...] = ()

    @property
    def unreadable(self) -> int:
        return self.asked - self.readable


def summary(asked: Sequence[Asked]) -> Summary:
    """Mean and spread of ratings, or the most frequent answer; unreadable samples are counted, never guessed."""
    answers = [one.answer for one in asked if one.answer is not None]
    if not answers:
        return Summary(0, len(asked))
    counts = Counter(_without_repairs(answer) for answer in answers).most_common()
    agreement = counts[0][1] / len(answers)
    ratings = [answer.rating for answer in answers if isinstance(answer, Score)]
    if ratings:
        counts.sort(key=lambda pair: _as_rating(pair[0]))
        mean, spread = statistics.fmean(ratings), statistics.pstdev(ratings)
        return Summary(len(ratings), len(asked), mean, spread, agreement=agreement, counts=tuple(counts))
    return Summary(len(answers), len(asked), answer=counts[0][0], agreement=agreement, counts=tuple(counts))


def _as_rating(answer: Answer) -> float:
    return answer.rating if isinstance(answer, Score) else 0.0


def _without_repairs(answer: Answer) -> Answer:
    return replace(answer, repairs=())


def described(answer: Answer | None) -> dict[str, float | str | None]:
    """The answer's fields in the words of the question, which has "null" twice for a clean photo."""
    match answer:
        case Score(rating):
            return {"rating": rating}
        case Degradation(distortion, severity):
            return {"distortion_class": str(distortion), "severity": str(severity)}
        case Clean():
            return {"distortion_class": "null", "severity": "null"}
        case Comparison(winner):
            return {"winner": str(winner)}
    return {}

"""What the answers of a check are: who was asked what, how far two answers are apart, and what a verdict is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property

from qinsight.answers import Clean, Degradation, Score
from qinsight.assess import Asked
from qinsight.check import pictures, plan
from qinsight.check.asking import Answered, Answers
from qinsight.check.served import Told
from qinsight.requests import About, Finish, Sampling


@dataclass(frozen=True)
class Tolerance:
    """By how much two answers may differ for their pictures to count as alike: in ratings, and in the letters they share."""

    rating: float
    letters: float


SAME = Tolerance(0.01, 0.999)  # one picture, pixel by pixel
CLOSE = Tolerance(0.05, 0.96)  # pictures that differ at an edge
NEARLY = Tolerance(0.5, 0.88)  # pictures that differ by what shrinking leaves of single pixels
UNSTEADY = CLOSE.rating / 2  # by which the same question may be answered differently
DRIFT = 0.1  # of a rating, on average, that the same picture may be rated differently
EXACT_DRIFT = 0.02  # the same for weights in fp32
MOST_BAD = 0.05  # of all replies may be unreadable, cut or without thinking


class State(StrEnum):
    """What a verdict comes to."""

    OK = "ok"
    ALARM = "alarm"
    NOTE = "note"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """One line of the passport."""

    name: str
    state: State
    words: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """The answers of a check, and what several verdicts ask of them."""

    about: About
    answers: Answers
    sampling: Sampling  # that was asked for
    max_pixels: int  # that a picture may have before we shrink it ourselves
    told: Told = field(default_factory=Told)

    def one(self, name: str, place: int = 0) -> Asked | None:
        """A finished reply, by its step."""
        found = self.answers.get(name, Answered())
        return found.asked[place] if place < len(found.asked) else None

    def rating(self, name: str) -> float | None:
        """How good a picture was found."""
        return rating_of(self.one(f"score {name}"))

    @property
    def as_usual(self) -> bool:
        """Whether pictures and words were asked for as a record has them."""
        return not self.shrunk_here and self.sampling.repetition_penalty is None

    @property
    def shrunk_here(self) -> bool:
        """Whether we were told to shrink large pictures ourselves."""
        return self.max_pixels < area(pictures.LARGE)

    @cached_property
    def replies(self) -> list[tuple[str, Asked]]:
        """All that were to be whole, with the names of their steps."""
        return [
            (name, one)
            for name, answered in self.answers.items()
            if name not in ("limit", "stop") and not name.startswith(("seed", "penalty", "other order"))
            for one in answered.asked
        ]

    @cached_property
    def cut(self) -> list[str]:
        """Replies without their end although they had tokens left."""
        return [name for name, one in self.replies if self._is_cut(one)]

    @cached_property
    def unreadable(self) -> list[str]:
        """Whole replies without an answer."""
        return [name for name, one in self.replies if one.error and not self._is_cut(one)]

    def _is_cut(self, one: Asked) -> bool:
        if one.finish is Finish.LENGTH:
            return one.tokens < self.sampling.max_new_tokens
        return "<think>" in one.text and "</answer>" not in one.text

    @cached_property
    def again(self) -> list[tuple[Asked, Asked]]:
        """What was asked twice."""
        return self._beside("again {}".format)

    @cached_property
    def batched(self) -> list[tuple[Asked, Asked]]:
        """What was asked alone and in a batch."""
        names, batch = plan.base_names(), self.answers.get("batch", Answered()).asked
        pairs = [(self.one(names[place % len(names)]), other) for place, other in enumerate(batch)]
        return [(alone, other) for alone, other in pairs if alone]

    def _beside(self, named: Callable[[str], str]) -> list[tuple[Asked, Asked]]:
        pairs = [(self.one(name), self.one(named(name))) for name in plan.base_names()]
        return [(alone, other) for alone, other in pairs if alone and other]

    @cached_property
    def drift(self) -> float:
        """The most by which the same question was answered differently."""
        return max((apart for pair in self.again if (apart := distance(*pair)) is not None), default=0.0)

    @cached_property
    def steadiness(self) -> float:
        """How much of its letters the same answer keeps, at least, where both replies can be read."""
        kept = (likeness(*pair) for pair in self.again if not any(one.error for one in pair))
        return min(kept, default=1.0)

    @property
    def is_unsteady(self) -> bool:
        """Whether the same question is answered so differently that equal answers say nothing."""
        return self.drift > UNSTEADY

    def same(self, one: str, other: str) -> bool | None:
        """Whether two pictures were answered as if they were one, pixel by pixel."""
        return self._alike(one, other, SAME)

    def nearly_same(self, one: str, other: str) -> bool | None:
        """Whether two pictures were answered as if they differed by what shrinking leaves of single pixels."""
        return self._alike(one, other, NEARLY)

    def close(self, one: str, other: str) -> bool | None:
        """Whether two pictures were answered as if they differed at an edge."""
        return self._alike(one, other, CLOSE)

    def _alike(self, one: str, other: str, tolerated: Tolerance) -> bool | None:
        pair = self.one(f"score {one}"), self.one(f"score {other}")
        if pair[0] is None or pair[1] is None:
            return None
        apart = distance(pair[0], pair[1])
        if apart is None or self.drift > tolerated.rating:
            return None
        letters = min(tolerated.letters, self.steadiness)  # that the same question keeps
        return apart <= tolerated.rating and likeness(pair[0], pair[1]) >= letters


def rating_of(one: Asked | None) -> float | None:
    """The mean over the ratings that might have been written, else the one that was."""
    if one is None or not isinstance(one.answer, Score):
        return None
    return one.answer.rating if one.expected_rating is None else one.expected_rating


def distance(one: Asked, other: Asked) -> float | None:
    """How far two answers to one question are apart, in ratings; another diagnosis is a whole one."""
    if isinstance(one.answer, Degradation | Clean) and isinstance(other.answer, Degradation | Clean):
        return float(_named(one) != _named(other))
    ratings = rating_of(one), rating_of(other)
    return None if ratings[0] is None or ratings[1] is None else abs(ratings[0] - ratings[1])


def likeness(one: Asked, other: Asked) -> float:
    """The share of letters that two replies have in common, in order."""
    if one.text == other.text:
        return 1.0
    return SequenceMatcher(None, one.text, other.text, autojunk=False).ratio()


def _named(one: Asked) -> str:
    return str(one.answer.distortion) if isinstance(one.answer, Degradation) else "null"


def not_known(name: str) -> Verdict:
    """The verdict where nothing can be said."""
    return Verdict(
        name, State.UNKNOWN, "not known: the replies that would show it are missing or cannot be told apart"
    )


def area(size: tuple[int, int]) -> int:
    """In pixels."""
    return size[0] * size[1]

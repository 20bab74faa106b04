"""The order meter: how often a model prefers the photo that it is shown first, or second, whatever is on it."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Self

from qinsight.answers import Comparison, Winner
from qinsight.assess import Asked
from qinsight.prompts import Task
from qinsight.sentence import Sentence
from qinsight.trust.shares import Share


@dataclass(frozen=True)
class Orders:
    """Pairs that were asked in both orders, counted by what became of the answer when the photos changed places.

    `agree`: the same photo, or similar, both times. `first`: both times the one shown first; `second`: the one shown
    second. `mixed`: similar in one order only. `unread`: a reply of the two cannot be read.
    """

    agree: int = 0
    first: int = 0
    second: int = 0
    mixed: int = 0
    unread: int = 0

    @classmethod
    def of(cls, asked: Sequence[Asked]) -> Self:
        """Counted over replies as `assess.comparison` asks them, the two orders of a pair side by side."""
        counts = [_outcome(*asked[start : start + 2]) for start in range(0, len(asked) - 1, 2)]
        return cls(**{name: counts.count(name) for name in set(counts)})

    def __add__(self, other: "Orders") -> "Orders":
        return Orders(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def read(self) -> int:
        """Pairs of which both replies were read."""
        return self.agree + self.first + self.second + self.mixed

    @property
    def agreeing(self) -> Share:
        return Share(self.agree, self.read)

    @property
    def to_first(self) -> Share:
        """Of the pairs in which the place decided, those that went to the first place: a half without preference."""
        return Share(self.first, self.first + self.second)

    @property
    def preference(self) -> str | None:
        """`first` or `second` where the interval leaves out a half, else None."""
        if self.to_first.low > 0.5:
            return "first"
        return "second" if self.to_first.high < 0.5 else None

    def sentence(self) -> Sentence:
        """The meter in one line."""
        unread = Sentence("; {count} could not be read", count=self.unread) if self.unread else ""
        if not self.read:
            return Sentence("Order: no pair was answered in both orders{unread}.", unread=unread)
        return Sentence(
            "Order: {agree} of {pairs} pairs agree in both orders ({interval}), {first} went to the photo shown "
            "first, {second} to the second{mixed}{unread}. {preference}",
            agree=self.agree,
            pairs=self.read,
            interval=_interval(self.agreeing),
            first=self.first,
            second=self.second,
            mixed=Sentence(", {count} to similar in one order only", count=self.mixed) if self.mixed else "",
            unread=unread,
            preference=self._told_preference(),
        )

    def as_json(self) -> dict[str, Any]:
        """The counts, both shares with their intervals, and the sentence."""
        return {
            "pairs": self.read,
            "agree": self.agree,
            "first": self.first,
            "second": self.second,
            "mixed": self.mixed,
            "unread": self.unread,
            "agreement": self.agreeing.as_json(),
            "to_first": self.to_first.as_json(),
            "preference": self.preference,
            "sentence": self.sentence(),
        }

    def _told_preference(self) -> Sentence:
        if self.preference is None:
            return Sentence("A preference for first or second is not shown.")
        share = self.to_first if self.preference == "first" else Share(self.second, self.to_first.of)
        if self.preference == "first":
            return Sentence(
                "The model prefers the photo shown first: {interval} of those that its place decided.",
                interval=_interval(share),
            )
        return Sentence(
            "The model prefers the photo shown second: {interval} of those that its place decided.",
            interval=_interval(share),
        )


def in_both_orders(task: Task, names: Mapping[str, str], asked: Sequence[Asked]) -> dict[str, Any]:
    """The field of the app's own beside a comparison without a reference: whether both orders agree."""
    done = asked and all(one.answer or one.error for one in asked)
    if task is not Task.COMPARISON or "reference" in names or not done:
        return {}
    return {"order": Orders.of(asked).as_json()}


def _outcome(one: Asked, other: Asked) -> str:
    answers = one.answer, other.answer
    if not isinstance(answers[0], Comparison) or not isinstance(answers[1], Comparison):
        return "unread"
    here, there = answers[0].winner, answers[1].winner
    if here is there.swapped:
        return "agree"
    if here is there:
        return "first" if here is Winner.A else "second"
    return "mixed"


def _interval(share: Share) -> Sentence:
    return Sentence("{low:.0f} to {high:.0f} in 100", low=100 * share.low, high=100 * share.high)

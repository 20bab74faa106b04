"""Which of a few frames is the best: pairs asked in both orders, until it is clear, or cannot be told.

Frames that may still be the best meet first, a round of pairs decoded together. It ends as soon as one frame is the
best with the chance `CLEAR`, or the orders of no pair agree, and else after half of all ordered pairs (from 8 frames on). A pair of which a reply cannot
be read counts as no answer.

Greedy answers come once: asked again, they are the same. Of a model of which each reply is right 8 times in 10, both
orders are wrong together once where they are right 16 times, so nobody who asks once can name the best 95 times in 100.
Before a frame is named, its pair with the likeliest other one is therefore asked again, sampled; unless both orders
agree again, it cannot be told.
"""

import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from PIL import Image

from qinsight.answers import Comparison, Winner
from qinsight.assess import Asked, ask_each, comparison
from qinsight.errors import QInsightError, RequestFailed
from qinsight.requests import GREEDY, Engine, Sampling
from qinsight.sentence import Sentence
from qinsight.trust.order import Orders
from qinsight.trust.strengths import Beliefs, Outcome, Strength

LEAST, MOST = 2, 12  # frames
CLEAR = 0.95  # the chance to be the best from which no other pair is asked
SURE = (
    0.88  # the chance from which a frame leads at the end; of 8 frames, a judge without fault comes to 0.89
)
AGAIN = 1.0  # the temperature at which a leader's pair is asked again
HELD = 0.975  # the chance that the best is in the group which cannot be told apart
FIRST = {Winner.A: 1.0, Winner.B: 0.0, Winner.SIMILAR: 0.5}


@dataclass(frozen=True)
class Pair:
    """Two frames by their places, and their replies: first `one` shown first, then `other`.

    `failure`: why there are none. `again`: asked once more, sampled, to see whether the answer holds.
    """

    one: int
    other: int
    asked: tuple[Asked, ...] = ()
    failure: Sentence | None = None
    again: bool = False

    @property
    def winners(self) -> tuple[Winner | None, ...]:
        """As each reply says, in its own order; None where it cannot be read."""
        answers = [one.answer for one in self.asked]
        return tuple(answer.winner if isinstance(answer, Comparison) else None for answer in answers)

    @property
    def error(self) -> Sentence | None:
        """Why the pair counts as no answer."""
        return self.failure or next((one.error for one in self.asked if one.error), None)

    @property
    def outcome(self) -> Outcome | None:
        """As `Beliefs` learn it; None where a reply cannot be read."""
        match self.winners:
            case Winner() as here, Winner() as there:
                return Outcome(self.one, self.other, FIRST[here], FIRST[there])
        return None

    @property
    def better(self) -> int | None:
        """The frame that both orders prefer, by its place; None where they do not agree, and of similar frames."""
        match self.winners:
            case Winner.A, Winner.B:
                return self.one
            case Winner.B, Winner.A:
                return self.other
        return None


@dataclass(frozen=True)
class Standing:
    """What the pairs asked so far come to. `top` holds the places of the frames among which the best is, likeliest first."""

    frames: int
    pairs: tuple[Pair, ...]
    strengths: tuple[Strength, ...]

    @cached_property
    def ranked(self) -> list[int]:
        """All frames by their chance to be the best."""
        return sorted(range(self.frames), key=lambda place: -self.strengths[place].chance)

    @property
    def leader(self) -> int | None:
        """The frame that is the best with the chance `SURE`, whether its lead has been tried again or not."""
        agreed = any(pair.better is not None for pair in self.pairs)
        first = self.ranked[0]
        return first if agreed and self.strengths[first].chance >= SURE else None

    @cached_property
    def top(self) -> tuple[int, ...]:
        """The leader whose lead was tried again and held; else the fewest frames that hold the best with `HELD`.

        Two at least; all of them where the two orders of no pair agree.
        """
        if self.leader is not None and any(pair.again and pair.better == self.leader for pair in self.pairs):
            return (self.leader,)
        if all(pair.better is None for pair in self.pairs):
            return tuple(range(self.frames))
        held = itertools.accumulate(self.strengths[place].chance for place in self.ranked)
        count = next(count for count, chance in enumerate(held, start=1) if chance >= HELD)
        return tuple(self.ranked[: max(LEAST, count)])

    @property
    def winner(self) -> int | None:
        """The place of the best frame; None where that cannot be told."""
        return self.top[0] if len(self.top) == 1 else None

    @property
    def orders(self) -> Orders:
        """The order meter over the pairs asked; a pair that failed is one that was not read."""
        failed = sum(pair.failure is not None for pair in self.pairs)
        return Orders.of([one for pair in self.pairs for one in pair.asked]) + Orders(unread=failed)

    @property
    def intransitive(self) -> list[tuple[int, int, int]]:
        """Triples of which each frame is better than the next and the last better than the first, in both orders."""
        beats = {
            (pair.better, pair.one + pair.other - pair.better)
            for pair in self.pairs
            if pair.better is not None
        }
        return [
            (a, b, c)
            for a, b, c in itertools.permutations(range(self.frames), 3)
            if a == min(a, b, c) and {(a, b), (b, c), (c, a)} <= beats
        ]

    @property
    def hopeless(self) -> bool:
        """Whether as many pairs as there are frames were asked and the orders of none agree: more would not tell more."""
        return len(self.pairs) >= self.frames and all(pair.better is None for pair in self.pairs)


def check_frames(count: int) -> None:
    """Refuse too few or too many."""
    if not LEAST <= count <= MOST:
        raise QInsightError(
            "Expected {least} to {most} frames for a tournament, got {count}.",
            least=LEAST,
            most=MOST,
            count=count,
        )


def most_pairs(frames: int) -> int:
    """How many pairs are asked at most, each in both orders: of 8 frames 14 of 28; of 4 frames all 6, and one again."""
    return min(math.comb(frames, 2) + 1, max(2 * frames - 2, math.comb(frames, 2) // 2))


def tournament(
    engine: Engine,
    photos: Sequence[Image.Image],
    sampling: Sampling = GREEDY,
    *,
    max_pixels: int | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Standing]:
    """Ask about the photos, pair by pair; yields the standing after each round, the last one is the result."""
    check_frames(len(photos))
    beliefs = Beliefs(len(photos))
    pairs: list[Pair] = []
    standing = _standing(beliefs, pairs, len(photos))
    while meetings := _next_round(standing, engine.about.batch // 2):
        questions = {pair: comparison(photos[pair[0]], photos[pair[1]]) for pair in meetings}
        asked = dict(ask_each(engine, questions, sampling, max_pixels=max_pixels, stop=stop))
        new = [_pair(*meeting, asked[meeting]) for meeting in meetings]
        beliefs.learn([outcome for pair in new if (outcome := pair.outcome)])
        pairs += new
        standing = _standing(beliefs, pairs, len(photos))
        yield standing
    if standing.leader is not None:
        one, other = sorted(standing.ranked[:2])
        sampled = replace(sampling, temperature=AGAIN)
        rematch = {"again": comparison(photos[one], photos[other])}
        ((_, replies),) = ask_each(engine, rematch, sampled, max_pixels=max_pixels, stop=stop)
        pairs.append(replace(_pair(one, other, replies), again=True))
        yield _standing(beliefs, pairs, len(photos))


def _standing(beliefs: Beliefs, pairs: Sequence[Pair], frames: int) -> Standing:
    return Standing(frames, tuple(pairs), tuple(beliefs.strengths()))


def _pair(one: int, other: int, asked: tuple[Asked, ...] | RequestFailed) -> Pair:
    if isinstance(asked, RequestFailed):
        return Pair(one, other, failure=asked.sentence)
    return Pair(one, other, asked)


def _next_round(standing: Standing, room: int) -> list[tuple[int, int]]:
    """Pairs that did not meet yet, the likeliest to be the best first, no frame twice; none where it is over."""
    if standing.hopeless:
        return []
    known = {(pair.one, pair.other) for pair in standing.pairs}
    left = [pair for pair in itertools.combinations(range(standing.frames), 2) if pair not in known]
    if standing.strengths[standing.ranked[0]].chance >= CLEAR:
        return [
            pair for pair in left if set(pair) == set(standing.ranked[:2])
        ]  # the likeliest rival, if not yet
    size = min(max(1, room), most_pairs(standing.frames) - 1 - len(known))  # one is kept for the lead
    if known:  # later rounds are small: what one of them tells decides who meets next
        chances = [strength.chance for strength in standing.strengths]
        left.sort(key=lambda pair: -chances[pair[0]] * chances[pair[1]])
        size = min(size, max(1, standing.frames // 4))
    return _disjoint(left)[: max(0, size)]


def _disjoint(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    busy: set[int] = set()
    for pair in pairs:
        if not busy & set(pair):
            found.append(pair)
            busy |= set(pair)
    return found

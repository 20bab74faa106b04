"""A shoot in three heaps: what can be accepted or rejected at a bound on how often that is wrong, and what to look at.

For each side of the bar the labelled photographs say how far from it an expected rating must lie, in units of the
spread of its odds, so that of those still farther away at most the asked share is on the wrong side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from qinsight.errors import QInsightError
from qinsight.trust.calibration import Calibration, Point, scale_of


class Heap(StrEnum):
    """Where a photo falls."""

    ACCEPT = "accept"
    REJECT = "reject"
    LOOK = "look"


@dataclass(frozen=True)
class Triage:
    """A photo is good from `good_from`; `above` and `below` are the least distances at which that is decided.

    Infinite where no distance is far enough: then nothing is accepted, or nothing rejected.
    """

    good_from: float
    above: float
    below: float

    def heap(self, expected: float | None, spread: float | None) -> Heap:
        """Where a photo falls whose odds have this mean and spread; one without odds is to be looked at."""
        if expected is None or spread is None:
            return Heap.LOOK
        good = expected >= self.good_from
        far = _distance(expected, spread, self.good_from)
        if far < (self.above if good else self.below):
            return Heap.LOOK
        return Heap.ACCEPT if good else Heap.REJECT


def triage(calibration: Calibration, at_most_wrong: float, good_from: float) -> Triage:
    """The heaps for this bound and this bar, from what is known of the model."""
    check_bound(at_most_wrong, good_from)
    good = [point for point in calibration.points if point.expected >= good_from]
    poor = [point for point in calibration.points if point.expected < good_from]
    return Triage(good_from, *(_least_distance(points, good_from, at_most_wrong) for points in (good, poor)))


def check_bound(at_most_wrong: float, good_from: float) -> None:
    """Refuse a bound or a bar that makes no sense."""
    if not 0 < at_most_wrong < 0.5:
        raise QInsightError(
            "Expected a share above 0 and below 0.5 as the bound on what may be wrong, got {share:g}.",
            share=at_most_wrong,
        )
    if not 1 < good_from <= 5:
        raise QInsightError(
            "Expected a rating above 1 and up to 5 from which a photo is good, got {rating:g}.",
            rating=good_from,
        )


def _least_distance(points: Sequence[Point], good_from: float, at_most: float) -> float:
    """From where on at most this share of points is wrong, counting one more that is: the next photo."""
    told = [
        (
            _distance(point.expected, point.spread, good_from),
            (point.label >= good_from) != (point.expected >= good_from),
        )
        for point in points
    ]
    told.sort(reverse=True)
    least, wrong = math.inf, 0
    for number, (distance, is_wrong) in enumerate(told, start=1):
        wrong += is_wrong
        last_of_equals = number == len(told) or told[number][0] < distance
        if last_of_equals and (wrong + 1) / (number + 1) <= at_most:
            least = distance
    return least


def _distance(expected: float, spread: float, good_from: float) -> float:
    return abs(expected - good_from) / scale_of(spread)

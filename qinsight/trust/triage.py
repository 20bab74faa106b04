"""A shoot in three heaps: what can be accepted or rejected at a bound on how often that is wrong, and what to look at.

For each side of the bar the labelled photographs say how far from it an expected rating must lie, so that of those still
farther away at most the asked share is on the wrong side. The unit of that distance is the spread of the odds, times how
far labels usually are where the model named the same class: it rates noise more surely than compression.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from qinsight.errors import QInsightError
from qinsight.trust.calibration import Calibration, Point, scale_of

BELIEVED = 5  # photos of a class that weigh as much as all classes together


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
    units: Mapping[str, float]

    def heap(self, expected: float | None, spread: float | None, named: str | None) -> Heap:
        """Where a photo falls whose odds have this mean and spread; one without odds is to be looked at."""
        if expected is None or spread is None:
            return Heap.LOOK
        good = expected >= self.good_from
        far = _distance(Point(expected, spread, expected, named or ""), self.good_from, self.units)
        if far < (self.above if good else self.below):
            return Heap.LOOK
        return Heap.ACCEPT if good else Heap.REJECT


def triage(calibration: Calibration, at_most_wrong: float, good_from: float) -> Triage:
    """The heaps for this bound and this bar, from what is known of the model."""
    check_bound(at_most_wrong, good_from)
    good = [point for point in calibration.points if point.expected >= good_from]
    poor = [point for point in calibration.points if point.expected < good_from]
    units = _units(calibration.points)
    above, below = (_least_distance(points, good_from, at_most_wrong, units) for points in (good, poor))
    return Triage(good_from, above, below, units)


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


def _units(points: Sequence[Point]) -> dict[str, float]:
    """How far labels usually are where each class was named; of few, nearly as far as of all."""
    usual = statistics.fmean(point.miss for point in points) or 1.0
    missed: dict[str, list[float]] = {"": []}
    for point in points:
        missed.setdefault(point.named, []).append(point.miss)
    return {
        named: (sum(misses) + usual * BELIEVED) / (len(misses) + BELIEVED) for named, misses in missed.items()
    }


def _least_distance(
    points: Sequence[Point], good_from: float, at_most: float, units: Mapping[str, float]
) -> float:
    good = [point.expected >= good_from for point in points]
    wrong = [(point.label >= good_from) != side for point, side in zip(points, good, strict=True)]
    far = [_distance(point, good_from, units) for point in points]
    return _least(list(zip(far, wrong, strict=True)), at_most)


def _least(told: Sequence[tuple[float, bool]], at_most: float) -> float:
    """The distance from which on at most this share is wrong, counting one more that is: the next photo."""
    told = sorted(told, reverse=True)
    least, wrong = math.inf, 0
    for number, (distance, is_wrong) in enumerate(told, start=1):
        wrong += is_wrong
        last_of_equals = number == len(told) or told[number][0] < distance
        if last_of_equals and (wrong + 1) / (number + 1) <= at_most:
            least = distance
    return least


def _distance(point: Point, good_from: float, units: Mapping[str, float]) -> float:
    unit = units.get(point.named, units[""])
    return abs(point.expected - good_from) / (scale_of(point.spread) * unit)

"""What is accepted or rejected is wrong as seldom as was asked; all else is to be looked at."""

import random
import statistics
from dataclasses import replace

import pytest

from qinsight.errors import QInsightError
from qinsight.ranking.rows import Row
from qinsight.trust.calibration import Calibration, Point
from qinsight.trust.confidence import with_confidence
from qinsight.trust.triage import Heap, Triage, triage


def points(number: int, seed: int) -> tuple[Point, ...]:
    """A model that rates noise surely and compression poorly."""
    dice = random.Random(seed)
    found = []
    for _ in range(number):
        label, named = dice.uniform(1, 5), dice.choice(["noise", "compression"])
        expected = label + dice.gauss(0, 0.2 if named == "noise" else 0.8)
        found.append(Point(min(5.0, max(1.0, expected)), dice.uniform(0, 0.2), label, named))
    return tuple(found)


def calibration(seed: int = 1) -> Calibration:
    return Calibration("tiny", "abc", "fp32", 1000, "made-up photographs", points(600, seed))


def judged(heaps: Triage, others: tuple[Point, ...]) -> tuple[float, float]:
    """Of what was decided the share that is wrong, and the share of all that is to be looked at."""
    told = [(heaps.heap(one.expected, one.spread, one.named), one.label >= heaps.good_from) for one in others]
    decided = [(heap is Heap.ACCEPT) != good for heap, good in told if heap is not Heap.LOOK]
    return statistics.fmean(decided), 1 - len(decided) / len(told)


@pytest.mark.parametrize("bound", [0.05, 0.1])
def test_what_is_decided_is_wrong_about_as_often_as_was_asked(bound: float) -> None:
    found = [judged(triage(calibration(seed), bound, 3.5), points(600, seed + 50)) for seed in range(1, 11)]
    wrong, look = (statistics.fmean(values) for values in zip(*found, strict=True))
    assert bound / 2 < wrong < bound * 1.1
    assert look < 0.3


def test_a_stricter_bound_leaves_more_to_look_at() -> None:
    looks = [judged(triage(calibration(), bound, 3.5), points(600, 9))[1] for bound in (0.2, 0.1, 0.05)]
    assert looks == sorted(looks)


def test_the_class_that_is_rated_surely_is_decided_nearer_to_the_bar() -> None:
    heaps = triage(calibration(), 0.05, 3.5)
    far = next(far / 100 for far in range(300) if heaps.heap(3.5 + far / 100, 0.1, "noise") is Heap.ACCEPT)
    assert heaps.heap(3.5 + far, 0.1, "compression") is Heap.LOOK


def test_a_photo_without_odds_is_looked_at_and_one_of_an_unknown_class_goes_by_all() -> None:
    heaps = triage(calibration(), 0.1, 3.0)
    assert heaps.heap(None, None, "noise") is Heap.LOOK
    assert heaps.heap(5.0, None, "noise") is Heap.LOOK
    assert heaps.heap(5.0, 0.0, None) is Heap.ACCEPT
    assert heaps.heap(1.0, 0.0, "never named") is Heap.REJECT


def test_where_nothing_is_sure_enough_nothing_is_decided() -> None:
    few = Calibration("tiny", "abc", "fp32", 1000, "made-up photographs", points(60, 1))
    heaps = triage(few, 0.01, 3.5)
    assert {heaps.heap(rating, 0.0, "noise") for rating in (1.0, 3.5, 5.0)} == {Heap.LOOK}


@pytest.mark.parametrize(
    ("bound", "bar", "words"),
    [
        (0, 3, "a share above 0 and below 0.5"),
        (0.5, 3, "a share above 0 and below 0.5"),
        (5, 3, "got 5"),
        (0.05, 1, "a rating above 1 and up to 5"),
        (0.05, 72, "got 72"),
        (float("nan"), 3, "a share above 0"),
        (0.05, float("nan"), "a rating above 1"),
    ],
)
def test_a_bound_or_a_bar_that_makes_no_sense_is_refused(bound: float, bar: float, words: str) -> None:
    with pytest.raises(QInsightError, match=words):
        triage(calibration(), bound, bar)


def test_no_frame_of_a_bracket_falls_into_reject() -> None:
    known = calibration()
    row = Row("dark.jpg", "", "m", 1.2, 1.2, "noise", "serious", "", "", odds_spread=0.1, bracket=True)
    heaps = triage(known, 0.1, 3.5)
    assert with_confidence(replace(row, bracket=False), known, heaps).app_heap == "reject"
    assert with_confidence(row, known, heaps).app_heap == "look"

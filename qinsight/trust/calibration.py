"""What a model's ratings and classes were worth on photographs with labels, and what follows for another answer.

Split conformal prediction: of the labelled photographs, how far was the label from the expected rating, in units of
the spread of the model's own odds? The distance that covers nine in ten of them covers nine in ten of others like
them, whatever the model and the distribution.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from qinsight.errors import QInsightError
from qinsight.json_lines import parsed
from qinsight.odds import mean_of, spread_of
from qinsight.requests import About
from qinsight.whole_files import whole_text

FILE = "calibration.json"  # its name beside a model
VERSION = 1
LEAST = 50  # labelled photographs: of fewer, an interval that covers nine in ten says little
SHARE = 0.9
SMALLEST_SPREAD = 0.1  # added to that of the odds: greedy models are often sure, and wrong
LEAST_NAMED = 10  # times that a class was named before its reliability is told
UNROUNDED = ("f32", "f16")  # conversions that round nothing that an answer would show


class Point(NamedTuple):
    """A labelled photograph: what the model was expected to rate it, how far its odds spread, and the label.

    `named` is the class that the model named, empty where it was not asked.
    """

    expected: float
    spread: float
    label: float
    named: str = ""

    @property
    def miss(self) -> float:
        """How far the label is from the expected rating, in its unit."""
        return abs(self.label - self.expected) / scale_of(self.spread)


class Reliability(NamedTuple):
    """How often a class was right among the times that it was named."""

    right: int
    named: int


@dataclass(frozen=True)
class Calibration:
    """Labelled photographs that one model at one working size was asked about.

    `holds_for` says in words which photographs these were. `classes` are by the class that the model named.
    """

    model: str
    weights: str
    precision: str
    max_pixels: int
    holds_for: str
    points: tuple[Point, ...]
    classes: Mapping[str, Reliability] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.points) < LEAST:
            raise QInsightError(
                "Expected at least {least} labelled photographs that the model could rate, got {number}; "
                "of fewer, no interval is honest.",
                least=LEAST,
                number=len(self.points),
            )

    @cached_property
    def _misses(self) -> list[float]:
        return sorted(point.miss for point in self.points)

    def reach(self, share: float = SHARE) -> float:
        """How many spreads from the expected rating cover this share of labels, of new ones too."""
        far = self._misses
        place = math.ceil((len(far) + 1) * share)
        return far[place - 1] if place <= len(far) else math.inf

    def interval(self, expected: float, spread: float, share: float = SHARE) -> tuple[float, float]:
        """Where the label of a photograph like these lies this often, within 1 to 5."""
        half = self.reach(share) * scale_of(spread)
        return max(1.0, expected - half), min(5.0, expected + half)

    def around(self, odds: Mapping[float, float], share: float = SHARE) -> tuple[float, float]:
        """The interval around a rating with these odds."""
        return self.interval(mean_of(odds), spread_of(odds), share)

    def reliability(self, named: str) -> Reliability | None:
        """How often this class was right; None where it was named too seldom to tell."""
        found = self.classes.get(named)
        return found if found and found.named >= LEAST_NAMED else None

    def misfit(self, about: About) -> QInsightError | None:
        """Why this says nothing about the answers of another model, or of the same one at another size."""
        mine, theirs = self.weights or self.model, about.weights or about.name
        of_source = bool(self.weights) and self.weights == about.source and about.precision in UNROUNDED
        if (self.weights, mine) != (about.weights, theirs) and not of_source:
            return QInsightError(
                "This calibration is of other weights: {mine}, and {theirs} answers.",
                mine=_named(self.model, self.weights),
                theirs=_named(about.name, about.weights),
            )
        if _in_few_bits(self.precision) != _in_few_bits(about.precision):
            return QInsightError(
                "This calibration is of weights held in {mine}, and they are held in {theirs} now.",
                mine=self.precision,
                theirs=about.precision,
            )
        if self.max_pixels != about.max_pixels:
            return QInsightError(
                "This calibration is of photos rated at up to {mine} pixels, and they are rated at {theirs} now.",
                mine=self.max_pixels,
                theirs=about.max_pixels,
            )
        return None


def scale_of(spread: float) -> float:
    """The unit in which the distance of a label from an expected rating is told."""
    return spread + SMALLEST_SPREAD


def write(calibration: Calibration, path: Path) -> None:
    """The calibration as a file; `QInsightError` where it cannot be written."""
    told: dict[str, Any] = {"version": VERSION}
    told |= {name: getattr(calibration, name) for name in _WORDS} | {"max_pixels": calibration.max_pixels}
    told["classes"] = {name: list(found) for name, found in sorted(calibration.classes.items())}
    points = ",\n  ".join(
        json.dumps([*(round(value, 4) for value in numbers), named]) for *numbers, named in calibration.points
    )
    try:
        with whole_text(path) as file:
            head = json.dumps(told, indent=1, ensure_ascii=False).removesuffix("\n}")
            file.write(f'{head},\n "points": [\n  {points}\n ]\n}}\n')
    except OSError as error:
        raise QInsightError(
            "The calibration cannot be written to {path}: {cause}.", path=path, cause=error.strerror or error
        ) from error


def read(path: Path) -> Calibration:
    """The calibration in a file; `QInsightError` where there is none."""
    try:
        told = parsed(path.read_text(encoding="utf-8"))
        if told["version"] != VERSION:
            raise ValueError(f"it is of version {told['version']}, this is {VERSION}")
        points = tuple(_point(point) for point in told["points"])
        classes = {str(name): _reliability(pair) for name, pair in told["classes"].items()}
        words = {name: str(told[name]) for name in _WORDS}
        return Calibration(max_pixels=int(told["max_pixels"]), points=points, classes=classes, **words)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise QInsightError(
            "Expected a calibration written by `calibrate` in {path}; it cannot be read ({error}).",
            path=path,
            error=error,
        ) from error


def coverage(calibration: Calibration, others: Sequence[Point], share: float = SHARE) -> tuple[float, float]:
    """Of other labelled photographs, which share lies in its interval; and the median width of the intervals."""
    found = [calibration.interval(point.expected, point.spread, share) for point in others]
    inside = [low <= point.label <= high for point, (low, high) in zip(others, found, strict=True)]
    return statistics.fmean(inside), statistics.median(high - low for low, high in found)


_WORDS = ("model", "weights", "precision", "holds_for")


def _point(told: Any) -> Point:
    *numbers, named = told
    expected, spread, label = (float(value) for value in numbers)
    if not (1 <= expected <= 5 and 1 <= label <= 5 and 0 <= spread <= 4):
        raise ValueError(f"expected an expected rating, a spread and a label, got {told}")
    return Point(expected, spread, label, str(named))


def _reliability(told: Any) -> Reliability:
    right, named = (int(value) for value in told)
    if not 0 <= right <= named:
        raise ValueError(f"expected how often a class was right and how often named, got {told}")
    return Reliability(right, named)


def _named(name: str, weights: str) -> str:
    return f"{name} ({weights})" if weights else name


def _in_few_bits(precision: str) -> bool:
    return precision not in ("", "fp32", "bf16", "fp16", *UNROUNDED)

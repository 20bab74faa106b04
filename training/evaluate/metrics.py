"""How well answers agree with people: correlations, errors after a fitted curve, accuracies.

Functions from arrays to numbers. Whatever cannot be computed is a `MetricError` that says why; no number is made
up in its place. Correlations see readable answers only, accuracies count an unreadable answer as wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from qinsight.answers import Distortion, Severity, Winner
from qinsight.errors import QInsightError
from training.data.examples import NULL

CLASSES = (*map(str, Distortion), NULL)
LEVELS = tuple(map(str, Severity))  # level 1 is the first
UNREADABLE = ""


class MetricError(QInsightError):
    """A number that these data do not have, and why."""


# --- correlations: prediction (n,) and label (n,), finite, each in any unit -------------------------------


def plcc(prediction: np.ndarray, label: np.ndarray) -> float:
    """Pearson's linear correlation, -1 to 1."""
    return float(stats.pearsonr(*_pair(prediction, label)).statistic)


def srcc(prediction: np.ndarray, label: np.ndarray) -> float:
    """Spearman's rank correlation, -1 to 1; ties share the mean of their ranks."""
    return float(stats.spearmanr(*_pair(prediction, label)).statistic)


def krcc(prediction: np.ndarray, label: np.ndarray) -> float:
    """Kendall's rank correlation tau-b, -1 to 1, which takes ties on either side into account."""
    return float(stats.kendalltau(*_pair(prediction, label)).statistic)


def rmse(prediction: np.ndarray, label: np.ndarray) -> float:
    """Root of the mean squared error, in the unit that both must share."""
    x, y = _checked(prediction, label)
    return float(np.sqrt(np.mean((x - y) ** 2)))


def _checked(prediction: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(prediction, float), np.asarray(label, float)
    if x.ndim != 1 or x.shape != y.shape:
        raise MetricError(f"expected a label for each prediction, got shapes {x.shape} and {y.shape}")
    if not x.size:
        raise MetricError("expected at least one readable answer, got none")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise MetricError("expected finite predictions and labels, got NaN or infinity")
    return x, y


def _pair(prediction: np.ndarray, label: np.ndarray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    x, y = _checked(prediction, label)
    if len(x) < least:
        raise MetricError(f"expected at least {least} readable answers, got {len(x)}")
    for name, values in (("predictions", x), ("labels", y)):
        if np.ptp(values) == 0:
            raise MetricError(f"expected {name} that differ, got {len(x)} times {values[0]:g}")
    return x, y


# --- curves from prediction to label ----------------------------------------------------------------------


def logistic4(x: np.ndarray, b1: float, b2: float, b3: float, b4: float) -> np.ndarray:
    """From b2 to b1 around b3 (VQEG FR-TV; the form of DeQA-Score's evaluation)."""
    return b2 + (b1 - b2) * special.expit((x - b3) / abs(b4))


def logistic5(x: np.ndarray, b1: float, b2: float, b3: float, b4: float, b5: float) -> np.ndarray:
    """A logistic on a slope: b1 (1/2 - 1/(1 + exp(b2 (x - b3)))) + b4 x + b5 (Sheikh et al., TIP 2006)."""
    return b1 * (special.expit(b2 * (x - b3)) - 0.5) + b4 * x + b5


def line(x: np.ndarray, slope: float, start: float) -> np.ndarray:
    """The straight line that a wide logistic comes ever closer to."""
    return slope * x + start


@dataclass(frozen=True)
class Curve:
    """A fitted curve; `formula` is `logistic4`, `logistic5` or `line`, parameters in the units of the data."""

    formula: Any
    parameters: tuple[float, ...]

    def __call__(self, prediction: np.ndarray) -> np.ndarray:
        """Predictions (n,) in the unit of the labels."""
        return np.asarray(self.formula(np.asarray(prediction, float), *self.parameters))

    def falls(self, prediction: np.ndarray) -> bool:
        """Whether the highest prediction is mapped below the lowest: the fit turned the scale around."""
        low, high = self(np.array([np.min(prediction), np.max(prediction)]))
        return bool(high < low)


def fit_logistic4(prediction: np.ndarray, label: np.ndarray) -> Curve:
    """The 4-parameter logistic with the least squared error, or the straight line where none is better.

    Rising or falling, so PLCC after it is never negative: read it beside the raw one. `MetricError` for
    fewer than five points, or predictions or labels that are all the same.
    """
    return _fit(*_pair(prediction, label, 5), sloped=False)


def fit_logistic5(prediction: np.ndarray, label: np.ndarray) -> Curve:
    """The 5-parameter logistic with the least squared error; it need not be monotonic.

    `MetricError` for fewer than six points, or predictions or labels that are all the same.
    """
    return _fit(*_pair(prediction, label, 6), sloped=True)


WIDTHS = (1e-3, 300.0)  # of the logistic, in standard deviations: a step, and all but a straight line
FOOT = 12.0  # widths outside the predictions that its centre may lie: there it is exponential, further lost in rounding
STARTS = 6  # places of the grid from which the search goes on


def _fit(x: np.ndarray, y: np.ndarray, *, sloped: bool) -> Curve:
    """Least squares over centre and width alone: for these two given, all other parameters are a linear fit.

    So starting values matter little, and many are tried: a grid, and DeQA-Score's own (mean, 0.5). Equal
    predictions are one point with their mean label and their weight.
    """
    (mx, sx), (my, sy) = (x.mean(), x.std()), (y.mean(), y.std())
    values, inverse, counts = np.unique((x - mx) / sx, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, (y - my) / sy) / counts
    root = np.sqrt(counts)

    def place(shape: Sequence[float]) -> tuple[float, float]:
        width = float(np.exp(shape[1]))
        return float(np.clip(shape[0], values[0] - FOOT * width, values[-1] + FOOT * width)), width

    def columns(shape: Sequence[float]) -> np.ndarray:
        centre, width = place(shape)
        bend = special.expit((values - centre) / width)
        return np.stack([np.ones_like(values), *([values] if sloped else []), bend], 1) * root[:, None]

    def linear(matrix: np.ndarray) -> np.ndarray:
        sizes = (
            np.linalg.norm(matrix, axis=0) + 1e-300
        )  # the foot of a logistic is minute, and a curve all the same
        return np.asarray(np.linalg.lstsq(matrix / sizes, means * root, rcond=None)[0] / sizes)

    def residual(shape: Sequence[float]) -> np.ndarray:
        matrix = columns(shape)
        return np.asarray(means * root - matrix @ linear(matrix))

    def error(shape: Sequence[float]) -> float:
        return float(np.sum(residual(shape) ** 2))

    widths = np.geomspace(0.02, 100, 12)
    grid = [(centre, np.log(width)) for centre in np.linspace(values[0], values[-1], 13) for width in widths]
    grid += [(away * width, np.log(width)) for away in (-8, -4, -2, 2, 4, 8) for width in widths[6:]]
    starts = [*sorted(grid, key=error)[:STARTS], (0.0, float(np.clip(np.log(0.5 / sx), *np.log(WIDTHS))))]
    tried = [
        optimize.least_squares(
            residual,
            start,
            bounds=([-np.inf, np.log(WIDTHS[0])], [np.inf, np.log(WIDTHS[1])]),
            x_scale="jac",
            xtol=1e-12,
            ftol=1e-14,
            gtol=1e-12,
        ).x
        for start in starts
    ]
    best = min([*tried, *starts], key=error)
    straight = np.stack([np.ones_like(values), values], 1) * root[:, None]
    start, slope = linear(straight)
    if np.sum((means * root - straight @ (start, slope)) ** 2) <= error(best):
        return Curve(line, (float(slope * sy / sx), float(my + sy * start - slope * sy / sx * mx)))
    centre, width = place(best)
    centre, width = float(mx + centre * sx), float(width * sx)
    if sloped:
        start, slope, height = linear(columns(best)) * sy
        rest = my + start + height / 2 - slope / sx * mx
        return Curve(logistic5, (float(height), 1 / width, centre, float(slope / sx), float(rest)))
    start, height = linear(columns(best)) * sy
    return Curve(logistic4, (float(my + start + height), float(my + start), centre, width))


# --- degradations -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassAccuracy:
    """Counts for the photos of one class; `level` and `within_one` demand the right class too.

    "null" has no level: its `level` is None, and a clean photo found clean is `exact` and `within_one`.
    """

    n: int
    unreadable: int
    right: int
    level: int | None
    exact: int
    within_one: int


@dataclass(frozen=True)
class DegradationAccuracy:
    """Counts per class that occurs, in the order of `CLASSES`."""

    classes: dict[str, ClassAccuracy]

    @property
    def class_average(self) -> float:
        """The plain mean over the classes, "null" among them, as table 2 of the paper averages."""
        return float(np.mean([one.right / one.n for one in self.classes.values()]))

    @property
    def level_average(self) -> float | None:
        """The plain mean over the classes that have levels; None where none occurs."""
        shares = [one.level / one.n for one in self.classes.values() if one.level is not None]
        return float(np.mean(shares)) if shares else None


def degradation_accuracy(
    said: Sequence[tuple[str, int]], true: Sequence[tuple[str, int]]
) -> DegradationAccuracy:
    """Class and level, said and true: (class, level 1 to 5), ("null", 0) for clean, ("", 0) for unreadable."""
    if len(said) != len(true) or not true:
        raise MetricError(f"expected an answer for each photo, got {len(said)} for {len(true)}")
    found = {}
    for name in CLASSES:
        mine = [(one, (name, level)) for one, (kind, level) in zip(said, true, strict=True) if kind == name]
        if not mine:
            continue
        right = [one for one in mine if one[0][0] == name]
        exact = sum(one == other for one, other in right)
        found[name] = ClassAccuracy(
            n=len(mine),
            unreadable=sum(one[0] == UNREADABLE for one, _ in mine),
            right=len(right),
            level=None if name == NULL else exact,
            exact=exact,
            within_one=sum(abs(one[1] - other[1]) <= 1 for one, other in right),
        )
    return DegradationAccuracy(found)


# --- comparisons ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairAccuracy:
    """Counts of right verdicts over pairs (n,), and for each label that occurs (right, of)."""

    n: int
    unreadable: int
    right: int
    labels: dict[str, tuple[int, int]]


def pair_accuracy(said: Sequence[str], true: Sequence[str]) -> PairAccuracy:
    """Verdicts "Image A", "Image B", "Similar", "" for unreadable; "Similar" is right only where it is true."""
    if len(said) != len(true) or not true:
        raise MetricError(f"expected a verdict for each pair, got {len(said)} for {len(true)}")
    hits = [one == other for one, other in zip(said, true, strict=True)]
    labels = {
        str(label): (sum(hit for hit, is_label in zip(hits, mine, strict=True) if is_label), sum(mine))
        for label in Winner
        if any(mine := [other == label for other in true])
    }
    return PairAccuracy(len(true), sum(one == UNREADABLE for one in said), sum(hits), labels)


@dataclass(frozen=True)
class OrderConsistency:
    """Counts over pairs asked in both orders.

    `same` names the same winner both times ("Similar" counts); `readable` pairs have two readable verdicts.
    `first_place` of `sided` verdicts chose the photo shown first: half of them, where the place has no pull.
    """

    n: int
    readable: int
    same: int
    right_in_both: int
    first_place: int
    sided: int


def order_consistency(said: Sequence[str], swapped: Sequence[str], true: Sequence[str]) -> OrderConsistency:
    """Verdicts as for `pair_accuracy`; `swapped` was said of B, A, in the names of the first order."""
    if not len(said) == len(swapped) == len(true) or not true:
        raise MetricError(
            f"expected two verdicts for each pair, got {len(said)}, {len(swapped)}, {len(true)}"
        )
    pairs = list(zip(said, swapped, true, strict=True))
    sided = [one for one in (*said, *swapped) if one in (Winner.A, Winner.B)]
    return OrderConsistency(
        n=len(pairs),
        readable=sum(UNREADABLE not in (one, other) for one, other, _ in pairs),
        same=sum(one == other != UNREADABLE for one, other, _ in pairs),
        right_in_both=sum(one == other == label for one, other, label in pairs),
        first_place=sum(one == Winner.A for one in said) + sum(one == Winner.B for one in swapped),
        sided=len(sided),
    )

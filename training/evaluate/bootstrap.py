"""How sure a number is: percentile intervals over photos drawn again and again with replacement.

A resample is its counts, how often each photo was drawn. A statistic takes counts (draws, n) and gives (draws,),
so that a thousand resamples of ten thousand photos take seconds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 1000
SEED = 2026
LEVEL = 0.95
CELLS = 5_000_000  # of counts held at a time: 40 MB
MOST_FOR_KRCC = (
    20_000  # every pair of photos is looked at: half a minute here, and four times that for twice as many
)
MOST_UNDEFINED = 0.05  # share of resamples without the statistic beyond which there is no interval

Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of the resamples."""

    low: float
    high: float


def intervals(
    statistics: Sequence[Statistic],
    n: int,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    told: Callable[[int], None] | None = None,
) -> list[Interval | None]:
    """An interval for each statistic of n photos, all from the same resamples; `told` hears how many came, chunk by chunk.

    None where more than one resample in twenty does not have the statistic (all predictions equal, say).
    """
    found: list[list[np.ndarray]] = [[] for _ in statistics]
    for counts in resamples(n, draws, seed):
        for statistic, values in zip(statistics, found, strict=True):
            values.append(statistic(counts))
        if told:
            told(len(counts))
    return [_middle(np.concatenate(values)) for values in found]


def resamples(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Counts (some draws, n) of n photos drawn n times with replacement, `draws` rows in all."""
    rng = np.random.default_rng(seed)
    some = max(1, CELLS // n)
    for start in range(0, draws, some):
        rows = min(some, draws - start)
        places = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


def _middle(values: np.ndarray) -> Interval | None:
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(values):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


# --- statistics of counts (draws, n) ----------------------------------------------------------------------


def mean_of(values: np.ndarray) -> Statistic:
    """The mean of values (n,)."""
    return lambda counts: counts @ values / counts.sum(1)


def class_mean_of(values: np.ndarray, classes: np.ndarray) -> Statistic:
    """The plain mean of the means of the classes, values (n,) and classes (n,); NaN where one is not drawn."""
    members = [classes == name for name in np.unique(classes)]

    def statistic(counts: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            means = [counts[:, mine] @ values[mine] / counts[:, mine].sum(1) for mine in members]
        return np.mean(means, 0)

    return statistic


def rmse_of(x: np.ndarray, y: np.ndarray) -> Statistic:
    """The root mean squared error of x (n,) and y (n,)."""
    mean = mean_of((x - y) ** 2)
    return lambda counts: np.sqrt(mean(counts))


def plcc_of(x: np.ndarray, y: np.ndarray) -> Statistic:
    """Pearson's correlation of x (n,) and y (n,)."""
    x, y = x - x.mean(), y - y.mean()
    powers = np.stack([x, y, x * x, y * y, x * y], 1)

    def statistic(counts: np.ndarray) -> np.ndarray:
        mx, my, xx, yy, xy = (counts @ powers / counts.sum(1, keepdims=True)).T
        return _ratio(xy - mx * my, (xx - mx * mx) * (yy - my * my))

    return statistic


def srcc_of(x: np.ndarray, y: np.ndarray) -> Statistic:
    """Spearman's correlation of x (n,) and y (n,): the ranks are those within each resample, ties averaged."""
    ranks_x, ranks_y = _ranks_of(x), _ranks_of(y)

    def statistic(counts: np.ndarray) -> np.ndarray:
        middle = (counts.sum(1, keepdims=True) + 1) / 2
        a, b = ranks_x(counts) - middle, ranks_y(counts) - middle
        weighted = counts * a
        return _ratio(
            np.sum(weighted * b, 1),
            np.einsum("dn,dn->d", weighted, a) * np.einsum("dn,dn,dn->d", counts, b, b),
        )

    return statistic


def krcc_of(x: np.ndarray, y: np.ndarray) -> Statistic:
    """Kendall's tau-b of x (n,) and y (n,); the work grows with n squared, see `MOST_FOR_KRCC`."""
    ties_x, ties_y = _ties_of(x), _ties_of(y)
    x, y = (np.unique(values, return_inverse=True)[1].astype(np.float32) for values in (x, y))
    step = max(1, CELLS * 4 // len(x))

    def statistic(counts: np.ndarray) -> np.ndarray:
        small: np.ndarray = counts.astype(np.float32)  # sums of counts stay below 2 ** 24, so they stay exact
        balance = np.zeros(len(counts))
        for start in range(0, len(x), step):
            mine = slice(start, start + step)
            signs = np.sign(x[:, None] - x[None, mine]) * np.sign(y[:, None] - y[None, mine])
            balance += np.einsum("dn,dn->d", (small @ signs).astype(float), counts[:, mine])
        n = counts.sum(1)
        pairs = n * (n - 1) / 2
        return _ratio(balance / 2, (pairs - ties_x(counts)) * (pairs - ties_y(counts)))

    return statistic


def _ratio(above: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """`above` over the root of `squared`; NaN where that is nothing, up to rounding."""
    return np.where(squared > 1e-18, above / np.sqrt(np.maximum(squared, 1e-18)), np.nan)


def _groups(values: np.ndarray) -> tuple[Statistic, np.ndarray]:
    """How often each distinct value is drawn, lowest first: counts (draws, n) -> (draws, groups); and who is where."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    return lambda counts: np.add.reduceat(counts[:, order], starts, axis=1), group


def _ranks_of(values: np.ndarray) -> Statistic:
    totals, group = _groups(values)

    def ranks(counts: np.ndarray) -> np.ndarray:
        total = totals(counts)
        return np.asarray((np.cumsum(total, 1) - (total - 1) / 2)[:, group])

    return ranks


def _ties_of(values: np.ndarray) -> Statistic:
    totals, _ = _groups(values)

    def ties(counts: np.ndarray) -> np.ndarray:
        total = totals(counts)
        return np.asarray((total * (total - 1) / 2).sum(1))

    return ties


# --- two models on the same photos ------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """The mean of the first less the second over n photos, its interval, and a two-sided p-value."""

    n: int
    first: float
    second: float
    difference: float
    interval: Interval
    p: float


def paired_difference(first: np.ndarray, second: np.ndarray, *, draws: int = 10_000) -> Difference:
    """Values (n,) of two models for the same photos in the same order, photos resampled in pairs.

    p is twice the share of resamples on the far side of 0 (that share and the draws each counted one up), so
    it falls below 0.05 about where the interval leaves 0 behind.
    """
    gaps = first - second
    means = np.concatenate([mean_of(gaps)(counts) for counts in resamples(len(gaps), draws, SEED)])
    beyond = min(int(np.sum(means <= 0)), int(np.sum(means >= 0)))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(
        n=len(gaps),
        first=float(np.mean(first)),
        second=float(np.mean(second)),
        difference=float(np.mean(gaps)),
        interval=Interval(float(low), float(high)),
        p=min(1.0, 2 * (beyond + 1) / (draws + 1)),
    )

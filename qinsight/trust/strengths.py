"""Bradley-Terry strengths of frames that were compared in pairs, as far as the answers tell them.

A pair has one outcome, which the stronger frame wins with the odds of the difference in strength; its two replies, one
in each order, are two readings of it, each right as often as the model is steady, and drawn to a place as much as the
model prefers that place. How far apart frames are, how steady the model is and which place it prefers are not known
beforehand: all three are learnt from the answers, along with the strengths.

What is believed after the answers is held as a cloud of possible worlds, moved by elliptical slice sampling (Murray,
Adams and MacKay 2010). SciPy fits no such model; a fit by its optimisers with the bell curve around the mode was tried
and left 3 to 6 of 8 frames undecided where a judge without any fault had answered 14 pairs: where one frame has won all,
there is no mode to be found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

WORLDS = 1000
MOVES = 8  # of every world after each round
SPREADS = 2.0 ** np.arange(-1, 10)  # of strengths, as log-odds: from copies to a contest without upsets
BIAS = 1.5  # standard deviation, log-odds
STEADY = 2.0  # log-odds that a reply gives the outcome of its pair, give or take 1
LOW, HIGH = 2.5, 97.5  # percentiles: 95 in 100


class Outcome(NamedTuple):
    """A pair that was asked in both orders: 1 where the reply chose the photo shown first, 0 the second, 0.5 neither.

    In the first reply `one` was shown first, in the second `other`.
    """

    one: int
    other: int
    here: float
    there: float


@dataclass(frozen=True)
class Strength:
    """How strong a frame is beside the mean of all, in log-odds of being preferred, and the chance that it is the best."""

    value: float
    low: float
    high: float
    chance: float


class Beliefs:
    """What the answers so far say about `frames` frames. The same answers give the same numbers."""

    def __init__(self, frames: int, seed: int = 0) -> None:
        self._frames = frames
        self._dice = np.random.default_rng(seed)
        # Per world: a strength for each frame in units of the spread, the bias, the steadiness.
        self._places = self._dice.standard_normal((WORLDS, frames + 2))
        self._spread = self._dice.integers(len(SPREADS), size=WORLDS)
        self._told: Any = np.zeros((0, 4))

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Worlds in which these are unlikely give way to those in which they are not; then all of them move on."""
        if not outcomes:
            return
        new = np.array(outcomes, float)
        weight = self._likelihood(self._places, self._spread, new)
        weight = np.exp(weight - weight.max())
        chosen = self._dice.choice(WORLDS, WORLDS, p=weight / weight.sum())
        self._places, self._spread = self._places[chosen], self._spread[chosen]
        self._told = np.vstack([self._told, new])
        likelihood = self._likelihood(self._places, self._spread, self._told)
        for _ in range(MOVES):
            likelihood = self._move_places(likelihood)
            likelihood = self._move_spread(likelihood)

    @property
    def chances(self) -> list[float]:
        """Of each frame to be the best."""
        best = self._strengths().argmax(axis=1)
        return [float(share) for share in np.bincount(best, minlength=self._frames) / WORLDS]

    def strengths(self) -> list[Strength]:
        """Of each frame the median over all worlds, and the interval that holds 95 in 100 of them."""
        found = self._strengths()
        found = found - found.mean(axis=1, keepdims=True)
        low, middle, high = np.percentile(found, (LOW, 50, HIGH), axis=0)
        return [Strength(*map(float, told)) for told in zip(middle, low, high, self.chances, strict=True)]

    def _strengths(self) -> Any:
        return self._places[:, : self._frames] * SPREADS[self._spread][:, None]

    def _likelihood(self, places: Any, spread: Any, told: Any) -> Any:
        """The logarithm of the chance of what was told, in each world: (worlds,)."""
        strength = places[:, : self._frames] * SPREADS[spread][:, None]
        one, other = told[:, :2].astype(int).T
        ahead = strength[:, one] - strength[:, other]
        bias, steady = BIAS * places[:, [-2]], STEADY + places[:, [-1]]
        here, there = told[:, 2], told[:, 3]
        wins = _chosen(here, bias + steady) + _chosen(there, bias - steady) - np.logaddexp(0, -ahead)
        loses = _chosen(here, bias - steady) + _chosen(there, bias + steady) - np.logaddexp(0, ahead)
        return np.logaddexp(wins, loses).sum(axis=1)

    def _move_places(self, likelihood: Any) -> Any:
        """One step of elliptical slice sampling for every world; gives the likelihoods that they have then."""
        towards = self._dice.standard_normal(self._places.shape)
        least = likelihood + np.log(self._dice.random(WORLDS))
        angle = self._dice.uniform(0, 2 * np.pi, WORLDS)
        low, high = angle - 2 * np.pi, angle.copy()
        before, moved, found = self._places, self._places.copy(), likelihood.copy()
        left = np.arange(WORLDS)
        while len(left):
            turn = angle[left, None]
            tried = before[left] * np.cos(turn) + towards[left] * np.sin(turn)
            reached = self._likelihood(tried, self._spread[left], self._told)
            good = reached > least[left]
            moved[left[good]], found[left[good]] = tried[good], reached[good]
            left = left[~good]
            below = angle[left] < 0
            low[left[below]], high[left[~below]] = angle[left[below]], angle[left[~below]]
            angle[left] = self._dice.uniform(low[left], high[left])
        self._places = moved
        return found

    def _move_spread(self, likelihood: Any) -> Any:
        """A step to the next wider or narrower spread, taken as often as Metropolis says."""
        tried = self._spread + self._dice.choice((-1, 1), WORLDS)
        inside = (tried >= 0) & (tried < len(SPREADS))
        tried = np.where(inside, tried, self._spread)
        reached = self._likelihood(self._places, tried, self._told)
        taken = inside & (np.log(self._dice.random(WORLDS)) < reached - likelihood)
        self._spread = np.where(taken, tried, self._spread)
        return np.where(taken, reached, likelihood)


def _chosen(first: Any, odds: Any) -> Any:
    """The logarithm of the chance that the first photo is chosen or not, of its log-odds; half of both for neither."""
    return first * odds - np.logaddexp(0, odds)

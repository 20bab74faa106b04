"""Long work in pieces between which one can stop."""

import sys
from collections.abc import Callable, Iterator

Check = Callable[[], None]
"""Raises `Stopped` where somebody stopped the question."""

PIECE = 2e10  # multiplications of a piece: 0.1 s of a fast core, a second of a slow one


def never() -> None:
    """The check of what nobody stops."""


def pieces(work: float, number: int, check: Check, step: int = 1, most: int = sys.maxsize) -> Iterator[slice]:
    """Slices of `number` things of `work` multiplications each, at most `PIECE` together and `most` of them, in whole
    steps; looks at `check` before each if there are several."""
    size = max(step, int(min(PIECE / max(work, 1), most, number)) // step * step)
    for start in range(0, number, size):
        if size < number:
            check()
        yield slice(start, min(number, start + size))

"""A share of cases, with the interval in which it lies 95 times in 100."""

import math
from dataclasses import dataclass
from typing import Any

Z = 1.959964  # of the normal distribution, for 95 in 100


@dataclass(frozen=True)
class Share:
    """`count` of `of` cases. The interval is Wilson's, which holds for few cases too, and for none or all of them.

    Cases that depend on each other count for fewer, not always whole ones.
    """

    count: float
    of: float

    @property
    def value(self) -> float | None:
        """None of no cases."""
        return self.count / self.of if self.of else None

    @property
    def low(self) -> float:
        return self._ends()[0]

    @property
    def high(self) -> float:
        return self._ends()[1]

    def _ends(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, 1.0
        share, over = self.count / self.of, Z**2 / self.of
        middle = share + over / 2
        reach = Z * math.sqrt(share * (1 - share) / self.of + over / self.of / 4)
        return max(0.0, (middle - reach) / (1 + over)), min(1.0, (middle + reach) / (1 + over))

    def as_json(self) -> dict[str, Any]:
        """Counts, share and both ends, from 0 to 1."""
        value = self.value
        return {
            "count": self.count,
            "of": self.of,
            "share": None if value is None else round(value, 4),
            "interval_95": [round(self.low, 4), round(self.high, 4)],
        }

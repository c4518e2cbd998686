"""Mean and standard deviation of a stack that is never held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry import Float32s

_ROWS_AT_ONCE = 64


@dataclass(slots=True)
class Moments:
    """Count, mean and sum of squared deviations of all pixels seen, in float64 (Chan, Golub and LeVeque 1979)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, frame: Float32s) -> None:
        """Take in the pixels of a frame `(y, x)`."""
        for first in range(0, len(frame), _ROWS_AT_ONCE):
            rows = frame[first : first + _ROWS_AT_ONCE].astype(np.float64)
            mean = float(rows.mean())
            rows -= mean
            self._merge(rows.size, mean, float(np.vdot(rows, rows)))

    @property
    def std(self) -> float:
        """Standard deviation of the population (divided by the count)."""
        return float((self.squares / self.count) ** 0.5) if self.count else 0.0

    def _merge(self, count: int, mean: float, squares: float) -> None:
        total, step = self.count + count, mean - self.mean
        self.squares += squares + step * step * (self.count * count / total)
        self.mean += step * count / total
        self.count = total

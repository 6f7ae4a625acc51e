"""The correlation of points that come in groups, with an interval that knows it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from peftcalc.checks import whole_number


@dataclass(frozen=True)
class Correlation:
    """Pearson correlation of points that come in groups, such as the checkpoints of one matrix."""

    r: float
    low: float
    high: float
    """The interval from a bootstrap over groups."""
    points: int
    groups: int
    confidence: float

    def __str__(self) -> str:
        return (
            f"r = {self.r:+z.2f} [{self.low:+z.2f}, {self.high:+z.2f}], "
            f"{self.points} points from {self.groups} matrices"
        )


def correlation(
    x: Any, y: Any, groups: Sequence[Hashable], confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> Correlation:
    """Pearson correlation with a percentile interval from drawing whole groups again.

    The checkpoints of one matrix are not independent, so matrices are drawn and not points: an interval from points
    would be far too narrow.

    Args:
        x, y: one number a point.
        groups: the matrix that each point belongs to.
        confidence: of the interval, between 0 and 1.
        draws: bootstrap samples.

    Returns:
        The correlation; NaN where x or y does not vary.

    >>> print(correlation([0, 1, 0, 1], [0, 1, 0.1, 0.9], ["q", "q", "v", "v"]))
    r = +0.99 [+0.99, +1.00], 4 points from 2 matrices
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not (x.shape == y.shape == (len(groups),)) or len(x) < 2:
        raise ValueError(
            f"x, y and groups must be as long as each other and at least 2, got {x.shape}, {y.shape}, {len(groups)}"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")
    names = list(dict.fromkeys(groups))
    member = np.array([[group == name for group in groups] for name in names], dtype=np.float64)  # (groups, points)
    generator = np.random.default_rng(seed)
    picked = generator.multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=whole_number("draws", draws, 1, 10**6)
    )
    drawn = _pearson(x, y, picked @ member)
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(drawn) else (np.nan, np.nan)
    r = _pearson(x, y, np.ones((1, len(x))))[0]
    return Correlation(float(r), float(low), float(high), len(x), len(names), confidence)


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted Pearson correlation for each row of weights `(draws, points)`; NaN where one side does not vary."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    dx, dy = x - (weights @ x)[:, None], y - (weights @ y)[:, None]
    xx, yy, xy = ((weights * product).sum(axis=1) for product in (dx * dx, dy * dy, dx * dy))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((xx > 1e-24) & (yy > 1e-24), xy / np.sqrt(xx * yy), np.nan)

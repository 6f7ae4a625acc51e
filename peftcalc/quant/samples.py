"""Numbers to quantize: a Gaussian, and a Gaussian in which a few numbers are far too large."""

from __future__ import annotations

import math

import numpy as np

from peftcalc.checks import whole_number

MOST = 1 << 24


def gaussian(count: int, outlier_size: float = 0.0, outliers: int = 0, seed: int = 0) -> np.ndarray:
    """`count` normal numbers of deviation 1, (count,) float32, some of which are replaced by `± outlier_size`.

    Args:
        count: 1 to 16,777,216.
        outlier_size: magnitude of the outliers, in standard deviations.
        outliers: how many there are; at places and with signs that the seed decides.
        seed: of the random numbers; the same one gives the same numbers around the outliers.

    Raises:
        ValueError: for a count or number of outliers outside its range, or an infinite size.

    >>> x = gaussian(1000, outlier_size=50, outliers=3)
    >>> int((abs(x) == 50).sum()), bool((x[abs(x) < 50] == gaussian(1000)[abs(x) < 50]).all())
    (3, True)
    """
    count = whole_number("count", count, 1, MOST)
    outliers = whole_number("outliers", outliers, 0, count)
    if not math.isfinite(outlier_size):
        raise ValueError(f"outlier_size must be finite, got {outlier_size}")
    random = np.random.default_rng(whole_number("seed", seed, 0, 2**63 - 1))
    numbers = random.standard_normal(count, dtype=np.float32)
    places = random.permutation(count)[:outliers] if outliers > 1 else random.integers(0, count, outliers)
    numbers[places] = np.float32(outlier_size) * random.choice((-1, 1), outliers)
    return numbers

"""Intruder dimensions: strong directions of a trained matrix that resemble none which the matrix had before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from peftcalc.checks import whole_number
from peftcalc.geometry.matrices import as_matrix

TOP = 10
THRESHOLD = 0.5
"""Below this cosine with every old direction a new one is an intruder."""


@dataclass(frozen=True)
class Intruders:
    """The strongest directions of a trained matrix beside those that it had before."""

    cosines: np.ndarray
    """Of each of the strongest left singular vectors after training: the largest |cosine| with any one from before."""
    before: np.ndarray
    """Singular values before training, largest first."""
    after: np.ndarray
    """The same after training."""
    threshold: float

    @property
    def places(self) -> tuple[int, ...]:
        """Which of the strongest directions are intruders, the strongest of all being 0."""
        return tuple(int(place) for place in np.flatnonzero(self.cosines < self.threshold))

    @property
    def count(self) -> int:
        """How many intruders there are."""
        return len(self.places)


def intruder_dimensions(before: Any, after: Any, top: int = TOP, threshold: float = THRESHOLD) -> Intruders:
    """Which of the strongest directions of `after` resemble none of `before`: `max_j |u'_i · u_j| < threshold`.

    Args:
        before, after: the matrix before and after training, numpy or torch, (out, in); `u_j` and `u'_i` are their left
            singular vectors.
        top: how many of the strongest directions after training are looked at; fewer where the matrix has fewer.
        threshold: the cosine below which one is an intruder, above 0 and at most 1.

    Raises:
        ValueError: not two finite matrices of one shape, or a number out of its range.

    Source: Shuttleworth et al. 2024, "LoRA vs Full Fine-tuning: An Illusion of Equivalence", arXiv:2410.21228,
    section 3; the same directions as `reduce_intruder_dimension` of peft finds.

    >>> base, added = np.diag([3.0, 2.0, 1.0]), 9 * np.ones((3, 3))
    >>> intruder_dimensions(base, base).count, intruder_dimensions(base, base + added, top=1, threshold=0.8).count
    (0, 1)
    """
    old, new = as_matrix("before", before), as_matrix("after", after)
    if old.shape != new.shape:
        raise ValueError(f"before and after must have the same shape, got {old.shape} and {new.shape}")
    whole_number("top", top, 1, 1_000_000)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold!r}")
    U_old, S_old, _ = np.linalg.svd(old, full_matrices=False)
    U_new, S_new, _ = np.linalg.svd(new, full_matrices=False)
    cosines = np.abs(U_new[:, :top].T @ U_old).max(axis=1)
    return Intruders(cosines, S_old, S_new, float(threshold))

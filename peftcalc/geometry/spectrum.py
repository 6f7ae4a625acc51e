"""How many directions an update really has: its singular values, and the share of its energy within rank r."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from peftcalc.checks import whole_number
from peftcalc.geometry.matrices import as_matrix
from peftcalc.lazy import Drawn


@dataclass(frozen=True)
class Spectrum(Drawn):
    """Singular values of an update `ΔW`, largest first."""

    singular_values: np.ndarray
    """σ_1 ≥ σ_2 ≥ …, shape `(min(out, in),)`."""

    @property
    def energy(self) -> np.ndarray:
        """Share of `‖ΔW‖²` within rank 1, 2, …: the cumulative sum of σ² over its total; all 1 for a zero update."""
        squares = self.singular_values**2
        total = squares.sum()
        return np.cumsum(squares) / total if total > 0 else np.ones_like(squares)

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of `σ_i / Σσ` (Roy & Vetterli 2007): k for k equal singular values, 0 for none."""
        total = self.singular_values.sum()
        if total == 0:
            return 0.0
        share = self.singular_values[self.singular_values > 0] / total
        return float(np.exp(-(share * np.log(share)).sum()))

    def rank_for(self, share: float) -> int:
        """The smallest rank that holds this share of the energy.

        >>> rank_of(np.diag([3.0, 1.0, 0.0])).rank_for(0.95)
        2
        """
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share!r}")
        # A sum of n rounded terms is exact to about n units in the last place.
        return int(np.searchsorted(self.energy, share - len(self.energy) * np.finfo(np.float64).eps)) + 1

    def within(self, rank: int) -> float:
        """Share of the energy that an update of this rank can hold, at best (Eckart–Young)."""
        rank = whole_number("rank", rank, 0, len(self.singular_values))
        return float(self.energy[rank - 1]) if rank else 0.0


def rank_of(update: Any) -> Spectrum:
    """Singular values of a matrix, such as the `ΔW` of a full fine-tuning.

    Args:
        update: a numpy array or torch tensor of shape `(out, in)`; a convolution's kernel is flattened to `(out,
        rest)`.

    Raises:
        ValueError: not a matrix, empty, or not finite.

    Source: Eckart & Young 1936: the best approximation of rank r keeps the r largest singular values, so `1 −
    energy[r − 1]` is the lowest relative squared error of any update of rank r.

    >>> rank_of(np.diag([3.0, 1.0])).energy
    array([0.9, 1. ])
    """
    return Spectrum(np.linalg.svd(as_matrix("update", update), compute_uv=False))

"""A low-rank update small enough to check by hand: a 5 × 5 weight, its factors B and A, and what they add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peftcalc.checks import whole_number

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class WorkedExample:
    """`W' = W + B A` with whole numbers. (LoRA paper, section 4.1, eq. 3, with s = 1.)"""

    rank: int
    W: np.ndarray
    """The frozen weight, (size, size)."""
    B: np.ndarray
    """(size, rank)."""
    A: np.ndarray
    """(rank, size)."""

    @property
    def update(self) -> np.ndarray:
        """ΔW = B A, (size, size)."""
        return self.B @ self.A

    @property
    def adapted(self) -> np.ndarray:
        """W + B A, (size, size)."""
        return self.W + self.update

    @property
    def frozen_parameters(self) -> int:
        return self.W.size

    @property
    def trained_parameters(self) -> int:
        """2 · size · rank."""
        return self.A.size + self.B.size


def worked_example(rank: int = 1, size: int = 5, seed: int = 0) -> WorkedExample:
    """A weight and factors of small whole numbers, so that every product can be checked by hand.

    The first columns of B and rows of A stay the same when the rank grows: a higher rank adds to the update.

    Args:
        rank: from 1 to `size`; at `size` the update can be any matrix and costs twice as many numbers as the weight.
        size: rows and columns of the square weight, 2 to 64.
        seed: which numbers.

    Raises:
        ValueError: a rank, size or seed out of range.

    >>> example = worked_example(rank=1)
    >>> example.frozen_parameters, example.trained_parameters, bool((example.update == example.B @ example.A).all())
    (25, 10, True)
    """
    import numpy as np

    size = whole_number("size", size, 2, 64)
    rank = whole_number("rank", rank, 1, size)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    random = np.random.default_rng(seed)
    weight = random.integers(-9, 10, (size, size))
    choices = np.array([-3, -2, -1, 1, 2, 3])
    factors = random.choice(choices, (size, 2, size))  # one pair of a column of B and a row of A for each rank
    B, A = factors[:rank, 0].T, factors[:rank, 1]
    return WorkedExample(rank, weight, B, A)

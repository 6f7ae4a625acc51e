"""The one-matrix model: a whole network imagined as a single square matrix, to see what low rank saves.

It is a teaching model. A real network is many matrices, so its true percentage is larger: `peftcalc.count` has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from peftcalc.checks import whole_number
from peftcalc.lazy import Drawn

MAX_PARAMETERS = 10**18


@dataclass(frozen=True)
class Square(Drawn):
    """A square matrix of `total_parameters` entries and its low-rank adapter; all numbers are exact.

    Args:
        total_parameters: P, the nominal size of the model.
        rank: r of the adapter.
        dimension: D, the root of P rounded up: the smallest square matrix that holds P parameters.
    """

    total_parameters: int
    rank: int
    dimension: int

    @property
    def trainable(self) -> int:
        """Parameters of A (r × D) and B (D × r): `2 · D · r`."""
        return 2 * self.dimension * self.rank

    @property
    def percent(self) -> float:
        """100 · trainable / total_parameters, of the nominal size and not of D²."""
        return 100 * self.trainable / self.total_parameters

    @property
    def matrix_parameters(self) -> int:
        """Entries of the whole matrix, `D²`, which full fine-tuning trains."""
        return self.dimension**2

    @property
    def break_even(self) -> float:
        """The rank at which LoRA trains exactly as many parameters as full fine-tuning of the matrix: `D / 2`.

        From `2 · D · r = D²`. A half when D is odd; below it LoRA trains fewer, above it more.
        """
        return self.dimension / 2

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        names = ("total_parameters", "rank", "dimension", "trainable", "percent", "matrix_parameters", "break_even")
        return {name: getattr(self, name) for name in names}


def square(total_parameters: int, rank: int) -> Square:
    """A model of P parameters as one D × D matrix with a rank-r adapter.

    `D = ⌈√P⌉`, `trainable = 2 · D · r`, `percent = 100 · trainable / P`, break-even at `r = D / 2`.

    Args:
        total_parameters: P, from 1 to 10¹⁸.
        rank: r, from 1 to D.

    Raises:
        ValueError: a number that is not whole or out of its range, with the value and the range.

    >>> result = square(total_parameters=4_000_000_000, rank=8)
    >>> result.dimension, result.trainable, round(result.percent, 7), result.break_even
    (63246, 1011936, 0.0252984, 31623.0)
    """
    total = whole_number("total_parameters", total_parameters, 1, MAX_PARAMETERS)
    dimension = math.isqrt(total - 1) + 1
    return Square(total, whole_number("rank", rank, 1, dimension), dimension)

"""How an update moves a matrix: the change of its rows' lengths and the change of their directions.

With `m_n` the length of row n of the torch weight `(out, in)` and `w_n` the row itself, at step t against step 0:

    ΔM^t = mean over n of |m_n^t − m_n^0|            ΔD^t = mean over n of (1 − cos(w_n^t, w_n^0))

(DoRA paper, section 3.2, eq. 3–4; the paper writes W transposed and so says "column".) For a quantized base the
reference is the dequantized base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from peftcalc.checks import one_of, whole_number
from peftcalc.geometry.matrices import as_matrix
from peftcalc.lazy import Drawn

NORMS = ("row", "column")


@dataclass(frozen=True)
class Decomposition(Drawn):
    """The change of one matrix; a "neuron" is a row, or a column where that norm was asked for."""

    magnitude_change: float
    """ΔM: mean of |m − m0|, or of |m − m0| / m0 when relative."""
    direction_change: float
    """ΔD: mean of 1 − cos."""
    relative_lengths: np.ndarray
    """Per neuron: (m − m0) / m0; 0 for a neuron that was zero and still is, infinite for one that was zero."""
    turns: np.ndarray
    """Per neuron: 1 − cos(w, w0), from 0 to 2; 0 where either is a zero vector, which has no direction."""


def decompose(before: Any, after: Any, norm: str = "row", relative: bool = False) -> Decomposition:
    """Magnitude and direction change of a matrix.

    Args:
        before, after: numpy arrays or torch tensors of one shape, `(out, in)`.
        norm: "row" for one length per output neuron (what DoRA trains), "column" for one per input.
        relative: divide each neuron's change of length by its length before.

    Raises:
        ValueError: different shapes, not matrices, or values that are not finite.

    Source: DoRA paper, section 3.2, eq. 3–4.

    >>> change = decompose([[3.0, 4.0]], [[0.0, 10.0]])
    >>> change.magnitude_change, round(change.direction_change, 3)
    (5.0, 0.2)
    """
    one_of("norm", norm, NORMS)
    w0, w = as_matrix("before", before), as_matrix("after", after)
    if w0.shape != w.shape:
        raise ValueError(f"before and after must have one shape, got {w0.shape} and {w.shape}")
    axis = 1 if norm == "row" else 0
    m0, m = np.linalg.norm(w0, axis=axis), np.linalg.norm(w, axis=axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative_lengths = np.nan_to_num((m - m0) / m0, nan=0.0, posinf=np.inf)
        turns = np.nan_to_num(_turns(w0, w, m0, m, axis), nan=0.0)
    changes = np.abs(relative_lengths) if relative else np.abs(m - m0)
    return Decomposition(float(changes.mean()), float(turns.mean()), relative_lengths, turns)


def _turns(w0: np.ndarray, w: np.ndarray, m0: np.ndarray, m: np.ndarray, axis: int) -> np.ndarray:
    """1 − cos as half the squared distance of the unit vectors: exact also for tiny angles, and 0 for no change."""
    shape = np.expand_dims
    return 0.5 * np.square(w / shape(m, axis) - w0 / shape(m0, axis)).sum(axis=axis)


def pure_turning(turns: Any) -> np.ndarray:
    """Relative change of length of a row that gets an update at right angles to it: `1 / cos θ − 1`, for `1 − cos θ`.

    A row that LoRA turns also grows, as the hypotenuse does; DoRA can turn it and keep its length.

    >>> pure_turning([0.0, 0.5]).tolist()
    [0.0, 1.0]
    """
    turns = np.asarray(turns, dtype=np.float64)
    if ((turns < 0) | (turns >= 1)).any():
        raise ValueError(f"turns must be at least 0 and below 1, got {turns.min():g} to {turns.max():g}")
    return 1 / (1 - turns) - 1


def random_updates(weight: Any, rank: int, sizes: Sequence[float], seed: int = 0) -> list[Decomposition]:
    """The null model: what random updates of this rank do, that nobody trained.

    Args:
        weight: the matrix before, `(out, in)`.
        rank: of each update `B A`, with normally distributed factors.
        sizes: lengths of the updates relative to the matrix, `‖ΔW‖ / ‖W‖`; one update for each.
        seed: of the factors.

    >>> small, large = random_updates(np.eye(64), 8, [0.1, 0.5])
    >>> small.direction_change < large.direction_change
    True
    """
    w0 = as_matrix("weight", weight)
    rank = whole_number("rank", rank, 1, min(w0.shape))
    generator = np.random.default_rng(seed)
    changes = []
    for size in sizes:
        update = generator.standard_normal((w0.shape[0], rank)) @ generator.standard_normal((rank, w0.shape[1]))
        changes.append(decompose(w0, w0 + update * (size * np.linalg.norm(w0) / np.linalg.norm(update))))
    return changes

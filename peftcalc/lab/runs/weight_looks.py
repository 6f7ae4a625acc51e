"""Looks at one matrix while it learns, small enough to be sent five times a second.

At most the first 64 rows and columns, as whole numbers of 8 bits with a scale. Of an adapter B and A travel, and who
draws it multiplies: `W' = g ∘ (W + s · B A)`, with one factor g a row where lengths are trained apart (DoRA, eq. 5).
Of full fine-tuning ΔW itself travels. Spectrum and rows are those of the whole matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from peftcalc.geometry.direction import decompose
from peftcalc.lab.runs.packed import packed
from peftcalc.lab.student import Student

SIDE = 64
"""Rows and columns that are looked at."""
VALUES = 12
"""Singular values that are told."""
LOOKS = 16
"""Of a run, after step 0."""


def look_steps(steps: int) -> set[int]:
    """The steps after which a run is looked at, evenly spread, the last among them.

    >>> sorted(look_steps(3))
    [0, 1, 2, 3]
    """
    return {round(steps * i / LOOKS) for i in range(LOOKS + 1)} | {0}


@torch.no_grad()
def weight_look(student: Student, matrix: str, with_base: bool) -> dict[str, Any]:
    """How a matrix stands now.

    Args:
        student: whose matrix.
        matrix: its name, among `student.watched()`.
        with_base: tell W too, and what it should become where the task knows that; both stay, so that once is enough.
    """
    layer, before, now = student.watch(matrix)
    told: dict[str, Any] = {"matrix": matrix, "shape": list(before.shape)}
    rows, columns = slice(0, SIDE), slice(0, SIDE)
    if with_base:
        told["W"] = packed(before[rows, columns])
        target = student.problem.target(matrix)
        if target is not None:
            told["T"] = packed(target.float().cpu().numpy()[rows, columns])
    if layer is None:
        told["D"] = packed((now - before)[rows, columns])
    else:
        A, B = (part.detach().float().cpu().numpy() for part in layer.factors())
        told |= {"s": layer.scale, "B": packed(B[rows]), "A": packed(A[:, columns])}
        if student.decomposed:
            added = np.linalg.norm(before + layer.scale * B @ A, axis=1)
            told["g"] = packed((np.linalg.norm(now, axis=1) / np.maximum(added, 1e-12))[rows], 16)
    moved = decompose(before, now)
    told["rows"] = [packed(moved.turns[rows], 16), packed(moved.relative_lengths[rows], 16)]
    told["moved"] = [float(f"{value:.4g}") for value in (moved.direction_change, moved.magnitude_change)]
    told["spectrum"] = [float(f"{value:.4g}") for value in _singular_values(now - before)[:VALUES]]
    return told


def _singular_values(matrix: np.ndarray) -> np.ndarray:
    """Largest first, from the smaller of the two products with the transpose: quick, and good to 1e-8 of the first."""
    wide = matrix.astype(np.float64) if matrix.shape[0] <= matrix.shape[1] else matrix.T.astype(np.float64)
    return np.sqrt(np.linalg.eigvalsh(wide @ wide.T).clip(0.0))[::-1]

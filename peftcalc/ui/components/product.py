"""The product s · B A and what it adds to W: every number of B and A can be moved, the rest follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from peftcalc.checks import one_of
from peftcalc.geometry.matrices import as_matrix
from peftcalc.ui.components.mount import mount
from peftcalc.ui.components.parts import Number, Numbers, Parts, State

LARGEST = 64
"""Rows and columns at most: 64 × 64 numbers are drawn within a frame."""
MOST_MOVED = 100
"""Numbers of B and A that a visitor's state remembers."""


def product(
    W: Any,
    B: Any,
    A: Any,
    *,
    rank: int = 1,
    alpha: float | None = None,
    dropout: float = 0.0,
    method: str = "lora",
    key: str = "product",
    start: State | None = None,
    link: bool = True,
) -> State:
    """Show `s · B A = ΔW` and `W + ΔW = W′`, with `s = α / r`.

    Up to 9 × 9 are numbers to drag and to type, larger matrices heat maps. B and A are given at the highest rank; a
    lower one takes the first columns of B and rows of A.

    Args:
        W: (n, m), up to 64 × 64.
        B: (n, highest rank).
        A: (highest rank, m).
        rank: at first.
        alpha: at first; the rank when not given, so that s = 1.
        dropout: share of the input's entries that blink out, at first.
        method: whose colour B and A wear.
        key, start, link: as for `mount`.

    Returns:
        What the visitor moved: "rank", "alpha", "dropout", and "cells", four numbers for each moved one: 0 in B or 1
        in A, row, column, value.

    Raises:
        ValueError: shapes that do not fit each other, or are too large.
    """
    data = product_data(W, B, A, rank=rank, alpha=alpha, dropout=dropout, method=method)
    return mount("product", data, product_parts(data), key, start=start, link=link)


def product_data(
    W: Any,
    B: Any,
    A: Any,
    *,
    rank: int = 1,
    alpha: float | None = None,
    dropout: float = 0.0,
    method: str = "lora",
) -> dict[str, Any]:
    """What the view shows, checked; also for a page without a server (`mount.payload`)."""
    weight, up, down = as_matrix("W", W), as_matrix("B", B), as_matrix("A", A)
    if up.shape[0] != weight.shape[0] or down.shape[1] != weight.shape[1] or up.shape[1] != down.shape[0]:
        raise ValueError(f"W, B and A must be n × m, n × r and r × m, got {weight.shape}, {up.shape}, {down.shape}")
    if max(*weight.shape, *up.shape) > LARGEST:
        raise ValueError(f"W, B and A must have at most {LARGEST} rows and columns, got {weight.shape} and {up.shape}")
    whole = all((part == np.rint(part)).all() for part in (up, down))
    most = float(max(3.0 if whole else 1e-3, np.abs(up).max(), np.abs(down).max()))
    return {
        "W": _rows(weight),
        "B": _rows(up),
        "A": _rows(down),
        "rank": Number(1, up.shape[1], whole=True).checked("rank", rank),
        "alpha": Number(0, 256).checked("alpha", rank if alpha is None else alpha),
        "dropout": Number(0, 0.9).checked("dropout", dropout),
        "step": 1 if whole else 0.01,
        "most": 9.0 if whole else round(1.5 * most, 6),
        "method": one_of("method", method, ("lora", "dora", "qlora", "qdora")),
    }


def product_parts(data: dict[str, Any]) -> Parts:
    """What can be moved."""
    largest = max(LARGEST, data["most"])
    return {
        "rank": Number(1, len(data["A"]), whole=True),
        "alpha": Number(0, 256),
        "dropout": Number(0, 0.9),
        "cells": Numbers(4 * MOST_MOVED, -largest, largest),
    }


def _rows(matrix: np.ndarray) -> Sequence[Sequence[float]]:
    return np.round(matrix, 6).tolist()

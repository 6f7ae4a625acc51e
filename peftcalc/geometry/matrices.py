"""Matrices from numpy or torch as float64 arrays, checked."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_matrix(name: str, value: Any) -> np.ndarray:
    """`value` as a finite float64 array of shape `(out, rest)`.

    >>> as_matrix("update", [[1, 2], [3, 4]]).shape
    (2, 2)

    Raises:
        ValueError: fewer than two dimensions, empty, or with a value that is not finite.
    """
    if hasattr(value, "detach"):  # a torch tensor; asking so needs no torch
        value = value.detach().double().cpu().numpy()
    try:
        if np.iscomplexobj(value):
            raise TypeError
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a matrix of numbers, got {type(value).__name__}") from None
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} must be a matrix with at least one row and column, got shape {array.shape}")
    array = array.reshape(len(array), -1)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(array)).sum()):,} values that are not")
    return array

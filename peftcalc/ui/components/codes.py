"""Sixty-four weights to drag, and what few bits make of them: one scale for all against one a block, and who pays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from peftcalc.checks import one_of
from peftcalc.ui.components.mount import mount
from peftcalc.ui.components.parts import Choice, Number, Numbers, Parts, State

COUNT = 64
FORMATS = ("int8", "int4", "nf4", "fp4", "mxfp4")
SIZES = (64, 32, 16)
"""Weights that share a scale."""
STAGES = ("Weights", "Block maximum", "Normalised", "Nearest code", "Packed bytes", "Dequantized", "Error")
"""The steps of the rail, in order; `codes.js` has the same."""
FURTHEST = 9
"""How far a weight can be pulled, in lengths of the largest."""


@cache
def ordinary_weights(seed: int = 5) -> tuple[float, ...]:
    """Sixty-four normal numbers with two decimals, none beyond ±1.

    >>> len(ordinary_weights()), max(map(abs, ordinary_weights())) <= 1
    (64, True)
    """
    return tuple(np.round(np.clip(np.random.default_rng(seed).normal(0, 0.36, COUNT), -1, 1), 2).tolist())


def codes(
    weights: Sequence[float] | None = None,
    *,
    format: str = "nf4",  # noqa: A002
    size: int = 64,
    rail: bool = False,
    stage: int = 0,
    key: str = "codes",
    start: State | None = None,
    link: bool = True,
) -> State:
    """Show 64 weights, the levels that their codes can stand for, and what is lost.

    Args:
        weights: 64 numbers; normal ones within ±1 when not given.
        format: "int8", "int4", "nf4", "fp4" or "mxfp4", at first.
        size: 64, 32 or 16 weights share a scale, at first.
        rail: whether the steps of the algorithm stand below, with the numbers of the weights around the chosen one.
        stage: the step of the rail that is lit at first, 0 to 6.
        key, start, link: as for `mount`.

    Returns:
        What the visitor moved: "format", "size", "stage", and "moved", two numbers for each moved weight: its place
        from 0 and its value.

    Raises:
        ValueError: another number of weights, or an unknown format or size.
    """
    data = codes_data(weights, format=format, size=size, rail=rail, stage=stage)
    return mount("codes", data, codes_parts(data), key, start=start, link=link)


def codes_data(
    weights: Sequence[float] | None = None,
    *,
    format: str = "nf4",  # noqa: A002
    size: int = 64,
    rail: bool = False,
    stage: int = 0,
) -> dict[str, Any]:
    """What the view shows, checked; also for a page without a server (`mount.payload`)."""
    given = Numbers(COUNT, -1e5, 1e5).checked("weights", ordinary_weights() if weights is None else [*weights])
    if len(given) != COUNT or not any(given):
        raise ValueError(f"weights must be {COUNT} numbers, not all zero, got {len(given)}")
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(map(str, SIZES))}, got {size}")
    largest = max(map(abs, given))
    return {
        "weights": given,
        "format": one_of("format", format, FORMATS),
        "size": size,
        "stage": Number(0, len(STAGES) - 1, whole=True).checked("stage", stage),
        "rail": int(rail),
        "crowd": float(f"{1.25 * largest:.2g}"),
        "limit": float(f"{FURTHEST * largest:.1g}"),
    }


def codes_parts(data: dict[str, Any]) -> Parts:
    """What can be moved."""
    most = max(COUNT, float(data["limit"]))
    return {
        "format": Choice(FORMATS),
        "size": Number(min(SIZES), max(SIZES), whole=True),
        "stage": Number(0, len(STAGES) - 1, whole=True),
        "moved": Numbers(2 * COUNT, -most, most),
    }


def weights_of(data: dict[str, Any], state: State) -> list[float]:
    """The weights as the visitor left them."""
    weights = list(data["weights"])
    moved = state.get("moved", [])
    for place, value in zip(moved[::2], moved[1::2], strict=False):
        if 0 <= place < COUNT:
            weights[int(place)] = value
    return weights

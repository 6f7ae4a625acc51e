"""One row of a weight as an arrow: LoRA's added update beside DoRA's turn and stretch, ΔM and ΔD read out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from peftcalc.plots.direction import START
from peftcalc.ui.components.mount import mount
from peftcalc.ui.components.parts import Number, Numbers, Parts, State

REACH = 2.4
"""How far the picture goes, in lengths of the row."""
SUMMIT = (-0.45, 1.75)
"""Of the climb, in lengths of the row, along it and to its left."""


def arrow(
    begin: Sequence[float] = (float(START[0]), float(START[1])),
    tip: Sequence[float] | None = None,
    *,
    climb: bool = False,
    key: str = "arrow",
    start: State | None = None,
    link: bool = True,
) -> State:
    """Show a row before and after, moved by LoRA and by DoRA.

    Args:
        begin: the row before, two numbers, not both zero.
        tip: the row after, at first; turned by 30 degrees and a quarter longer when not given.
        climb: whether the same picture is first told as a climb: which way, and how far.
        key, start, link: as for `mount`.

    Returns:
        What the visitor moved: "x" and "y" of the tip, and "climb", 0 or 1.

    Raises:
        ValueError: a row that is zero, or not two finite numbers.
    """
    data = arrow_data(begin, tip, climb=climb)
    return mount("arrow", data, arrow_parts(data), key, start=start, link=link)


def arrow_data(
    begin: Sequence[float] = (float(START[0]), float(START[1])),
    tip: Sequence[float] | None = None,
    *,
    climb: bool = False,
) -> dict[str, Any]:
    """What the view shows, checked; also for a page without a server (`mount.payload`)."""
    x, y = _row("begin", begin)
    cos, sin = math.cos(math.pi / 6), math.sin(math.pi / 6)
    along, aside = SUMMIT
    return {
        "start": [x, y],
        "tip": _rounded(1.25 * (cos * x - sin * y), 1.25 * (cos * y + sin * x)) if tip is None else _row("tip", tip),
        "reach": round(REACH * math.hypot(x, y), 6),
        "summit": _rounded(along * x - aside * y, along * y + aside * x),
        "climb": int(climb),
    }


def arrow_parts(data: dict[str, Any]) -> Parts:
    """What can be moved."""
    reach = float(data["reach"])
    return {"x": Number(-reach, reach), "y": Number(-reach, reach), "climb": Number(0, 1, whole=True)}


def _row(name: str, row: Sequence[float]) -> list[float]:
    values = Numbers(2, -1e3, 1e3).checked(name, [float(value) for value in row])
    if len(values) != 2 or not any(values):
        raise ValueError(f"{name} must be two numbers, not both zero, got {list(row)}")
    return values


def _rounded(*row: float) -> list[float]:
    return [round(value, 6) for value in row]

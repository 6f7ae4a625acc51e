"""One look for every figure: the same colour, line and mark for the same method everywhere, in light and in dark.

The five colours keep at least 3:1 contrast on both backgrounds (tested), and dashes and marks tell the methods apart
without colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peftcalc.lazy import explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class MethodStyle:
    """How one method is drawn."""

    color: str
    dash: tuple[int, ...]
    """Lengths of strokes and gaps in points; (1, 0) is a solid line."""
    marker: str
    """Matplotlib's letter."""
    shape: str
    """Vega's name of the same mark."""


METHOD_STYLES: dict[str, MethodStyle] = {
    "full": MethodStyle("#808080", (1, 0), "o", "circle"),
    "lora": MethodStyle("#2f7ed8", (7, 2), "s", "square"),
    "dora": MethodStyle("#d55e1f", (5, 2, 1, 2), "^", "triangle-up"),
    "qlora": MethodStyle("#168f74", (2, 2), "D", "diamond"),
    "qdora": MethodStyle("#b6539d", (9, 2, 1, 2, 1, 2), "P", "cross"),
}


SIGNED: dict[str, str] = {"below": "#2166ac", "above": "#b35806"}
"""Hues of numbers below and above zero, told apart by the colour-blind; the ground is zero, and depth is size."""


@dataclass(frozen=True)
class Theme:
    """Colours of text, grid and ground."""

    background: str
    text: str
    grid: str
    frozen: str
    """What is not trained."""


LIGHT = Theme(background="#ffffff", text="#0b0f1a", grid="#d9dde5", frozen="#b8c0cc")
DARK = Theme(background="#12161f", text="#e8ebf1", grid="#39414f", frozen="#566072")
THEMES = {"light": LIGHT, "dark": DARK}


def new_figure(
    width: float = 7.0, height: float = 4.0, theme: Theme = LIGHT, rows: int = 1, columns: int = 1, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """An empty matplotlib figure of `width` × `height` inches and its axes, row by row, in the given theme.

    Small multiples share their axes when `share` is set.
    """
    with explained("a figure"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=theme.background)
    axes = figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False)
    flat = [axis for row in axes for axis in row]
    for axis in flat:
        dress(axis, theme)
    return figure, flat


def dress(axis: Axes, theme: Theme = LIGHT) -> None:
    """Text, ticks, spines and grid in the theme's colours; no top and right spine."""
    axis.set_facecolor(theme.background)
    axis.tick_params(colors=theme.text, labelsize=11)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)
    axis.grid(visible=True, color=theme.grid, linewidth=0.6)
    axis.set_axisbelow(True)
    for label in (axis.xaxis.label, axis.yaxis.label, axis.title):
        label.set_color(theme.text)
        label.set_fontsize(12)

"""Axes that show their figure in a notebook, without pyplot and the state it keeps."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image  # matplotlib brings it

from peftcalc.plots.style import LIGHT, dress

DPI, COLORS = 110, 128
"""Of a picture in a notebook, which is kept there: a palette takes a third of the bytes."""
DEPTHS = (1.0, 0.7, 0.5, 0.35)
"""Of a method's colour, for its settings in turn."""
TITLE_WIDTH = 68
"""Characters of a title's line that a figure of 7 inches holds."""


class ShownAxes(Axes):
    """Axes that Jupyter shows as their figure's picture."""

    def _repr_png_(self) -> bytes:
        figure, picture = self.get_figure(root=True), io.BytesIO()
        assert figure is not None  # axes of `axes_of` have one
        figure.savefig(picture, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)  # nothing is cut off
        small = io.BytesIO()
        Image.open(picture).convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=COLORS).save(
            small, "png"
        )
        return small.getvalue()


def axes_of(ax: Any, title: str, x: str, y: str, height: float = 3.6) -> Axes:
    """The given axes in our look, or those of a new figure of 7 × `height` inches.

    Raises:
        ValueError: `ax` is not matplotlib's.
    """
    if ax is None:
        figure = Figure(figsize=(7, height), layout="constrained", facecolor=LIGHT.background)
        ax = figure.add_subplot(axes_class=ShownAxes)
    elif not isinstance(ax, Axes):
        raise ValueError(f"ax must be matplotlib's Axes or None, got {ax!r}")
    dress(ax, LIGHT)
    ax.set_title(plain(textwrap.fill(title, TITLE_WIDTH)), color=LIGHT.text, fontsize=12, loc="left")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax


def plain(text: str) -> str:
    r"""Text from outside as it stands: a dollar in a name begins no formula.

    >>> plain("a $b$")
    'a \\$b\\$'
    """
    return text.replace("$", r"\$")


def name_bars(ax: Axes, sizes: Mapping[str, float], told: Mapping[str, str], color: str) -> None:
    """A horizontal bar for each name, the first on top, with the words of `told` at its end."""
    places = range(len(sizes))
    drawn = ax.barh(places, list(sizes.values()), color=color)
    ax.set_yticks(places, [plain(name) for name in sizes])
    ax.bar_label(drawn, [told[name] for name in sizes], padding=4, color=LIGHT.text)
    ax.margins(x=0.16)
    ax.grid(visible=False, axis="y")
    ax.invert_yaxis()


def depth_of(turn: int) -> float:
    """How opaque the line of a method's first, second, … setting is, so that they can be told apart.

    >>> depth_of(0), depth_of(4)
    (1.0, 1.0)
    """
    return DEPTHS[turn % len(DEPTHS)]


def legend(ax: Axes, **place: Any) -> None:
    """A legend without a frame, in the colour of the text."""
    ax.legend(frameon=False, labelcolor=LIGHT.text, fontsize=10, **place)

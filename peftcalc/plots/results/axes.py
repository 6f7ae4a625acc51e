"""Axes that show their figure in a notebook, without pyplot and the state it keeps."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peftcalc.plots.style import LIGHT, dress


class ShownAxes(Axes):
    """Axes that Jupyter shows as their figure's picture."""

    def _repr_png_(self) -> bytes:
        figure, picture = self.get_figure(root=True), io.BytesIO()
        assert figure is not None  # axes of `axes_of` have one
        figure.savefig(picture, format="png", dpi=110)
        return picture.getvalue()


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
    ax.set_title(title, color=LIGHT.text, fontsize=12, loc="left")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax


def legend(ax: Axes, **place: Any) -> None:
    """A legend without a frame, in the colour of the text."""
    ax.legend(frameon=False, labelcolor=LIGHT.text, fontsize=10, **place)

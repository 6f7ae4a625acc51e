"""Figures of direction and magnitude: one row as arrows, ΔM against ΔD, single neurons, and the knock-out by rank."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from peftcalc.geometry.direction import pure_turning
from peftcalc.methods import METHODS
from peftcalc.plots.style import LIGHT, METHOD_STYLES, Theme, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from peftcalc.plots.style import Chart

START = np.array([1.4, 0.5])
"""The frozen row of the arrows, two numbers long."""
RANDOM = "#8a6d00"
KINDS = ("input", "first", "second", "output")
"""The digits network's matrices by their place; each has its own mark."""


def moved_row(turn: float, stretch: float) -> np.ndarray:
    """The frozen row, turned by `turn` degrees and `stretch` times as long: `m · v / ‖v‖` as DoRA computes it.

    >>> moved_row(0, 2).tolist()
    [2.8, 1.0]
    """
    angle = math.radians(turn)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return stretch * rotation @ START


def arrows_figure(turn: float, stretch: float, theme: Theme = LIGHT) -> Figure:
    """The same new row reached in LoRA's way, by adding, and in DoRA's way, by turning and stretching."""
    figure, (added, parted) = new_figure(8.2, 3.7, theme, columns=2, share=True)
    row = moved_row(turn, stretch)
    reach = 1.08 * max(float(np.linalg.norm(row)), float(np.linalg.norm(START)), 1.7)
    for axis, title in ((added, "LoRA adds ΔW"), (parted, "DoRA turns, then sets m")):
        axis.set_aspect("equal")
        axis.set_xlim(-0.75 * reach, reach)
        axis.set_ylim(-0.75 * reach, reach)
        axis.set_title(title, color=theme.text, fontsize=13)
        _arrow(axis, np.zeros(2), START, theme.frozen, "W", theme)
        _arrow(axis, np.zeros(2), row, METHOD_STYLES["full"].color, "W′", theme)
    if float(np.linalg.norm(row - START)) > 1e-9:
        _arrow(added, START, row, METHOD_STYLES["lora"].color, "ΔW", theme)
    _turn_and_stretch(parted, turn, row, theme)
    return figure


def _arrow(axis: Axes, start: np.ndarray, end: np.ndarray, color: str, label: str, theme: Theme) -> None:
    axis.annotate("", xy=tuple(end), xytext=tuple(start), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2.6})
    place = (start + end) / 2 if start.any() else end * 1.04
    axis.text(float(place[0]), float(place[1]), f" {label}", color=theme.text, fontsize=12, va="bottom")


def _turn_and_stretch(axis: Axes, turn: float, row: np.ndarray, theme: Theme) -> None:
    """The arc at the old length, and from there the way along the new direction."""
    color = METHOD_STYLES["dora"].color
    length, angle = float(np.linalg.norm(START)), math.atan2(START[1], START[0])
    angles = np.linspace(angle, angle + math.radians(turn), 60)
    axis.plot(length * np.cos(angles), length * np.sin(angles), color=color, lw=2.6)
    turned = length * np.array([math.cos(angles[-1]), math.sin(angles[-1])])
    if turn:
        middle = angles[30]
        axis.text(0.62 * length * math.cos(middle), 0.62 * length * math.sin(middle), "turn", color=theme.text)
    if float(np.linalg.norm(row - turned)) > 1e-9:
        axis.annotate(
            "", xy=tuple(row), xytext=tuple(turned), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 3}
        )
        x, y = 0.5 * (row + turned)
        axis.text(x, y, " m", color=theme.text, fontsize=12, va="top")


def look_of(method: str) -> tuple[str, str]:
    """Name and colour of a panel; "random" is the update that nobody trained."""
    if method == "random":
        return "Random update", RANDOM
    return METHODS[method].label, METHOD_STYLES[method].color


def moves_chart(frame: pd.DataFrame, method: str, highest: tuple[float, float], labels: tuple[str, str]) -> Chart:
    """ΔM against ΔD of one method: a mark for each place in the network, later checkpoints darker.

    Args:
        frame: columns matrix, kind, checkpoint (0 to 1), turn, length.
        highest: ends of both axes, the same for every panel.
        labels: of the axes.
    """
    import altair as alt

    _, color = look_of(method)
    return (
        alt.Chart(frame)
        .mark_point(size=75, filled=True, color=color, clip=True)
        .encode(
            x=alt.X("turn:Q", title=labels[0], scale=alt.Scale(domain=[0, highest[0]]), axis=alt.Axis(tickCount=2)),
            y=alt.Y("length:Q", title=labels[1], scale=alt.Scale(domain=[0, highest[1]]), axis=alt.Axis(tickCount=5)),
            shape=alt.Shape(
                "kind:N",
                scale=alt.Scale(domain=list(KINDS), range=["circle", "square", "triangle-up", "diamond"]),
                legend=None,
            ),
            opacity=alt.Opacity("checkpoint:Q", scale=alt.Scale(domain=[0, 1], range=[0.12, 1]), legend=None),
            tooltip=[
                "matrix:N",
                alt.Tooltip("checkpoint:Q", format=".0%"),
                alt.Tooltip("turn:Q", format=".4g", title=labels[0]),
                alt.Tooltip("length:Q", format=".4g", title=labels[1]),
            ],
        )
        .properties(height=300)
    )


def neurons_chart(frame: pd.DataFrame, method: str, limits: tuple[float, float, float]) -> Chart:
    """Each neuron's relative change of length against its turn, with the curve of rows that only turn at right angles.

    Args:
        frame: columns turn (1 − cos) and length (Δm / m).
        limits: largest turn, lowest and highest length of the axes, the same for every panel.
    """
    import altair as alt
    import pandas as pd

    _, color = look_of(method)
    turns = np.linspace(0, min(0.95, limits[0]), 60)
    curve = pd.DataFrame({"turn": turns, "length": pure_turning(turns)})
    x = alt.X("turn:Q", title="1 − cos θ", scale=alt.Scale(domain=[0, limits[0]]), axis=alt.Axis(tickCount=2))
    y = alt.Y("length:Q", title="Δm / m", scale=alt.Scale(domain=[limits[1], limits[2]]), axis=alt.Axis(tickCount=5))
    dots = alt.Chart(frame).mark_circle(size=16, opacity=0.5, color=color, clip=True).encode(x=x, y=y)
    line = alt.Chart(curve).mark_line(color=METHOD_STYLES["full"].color, strokeDash=[5, 3], clip=True).encode(x=x, y=y)
    return (dots + line).properties(height=300)


def knock_out_chart(frame: pd.DataFrame) -> Chart:
    """Loss left over against rank, LoRA and DoRA.

    Args:
        frame: columns method (label), rank, loss (mean over seeds).
    """
    import altair as alt

    names = ["lora", "dora"]
    labels = [METHODS[name].label for name in names]
    looks = [METHOD_STYLES[name] for name in names]
    ranks = sorted({int(rank) for rank in frame["rank"]})
    shared = alt.Chart(frame).encode(
        x=alt.X("rank:Q", title="rank", scale=alt.Scale(type="log", base=2), axis=alt.Axis(values=ranks, format="d")),
        y=alt.Y("loss:Q", title="relative squared error", scale=alt.Scale(domain=[0, 1])),
        color=alt.Color(
            "method:N",
            title=None,
            scale=alt.Scale(domain=labels, range=[look.color for look in looks]),
            legend=alt.Legend(orient="top"),
        ),
        tooltip=["method:N", "rank:Q", alt.Tooltip("loss:Q", format=".3g")],
    )
    dash = alt.StrokeDash("method:N", scale=alt.Scale(domain=labels, range=[list(look.dash) for look in looks]))
    shape = alt.Shape("method:N", scale=alt.Scale(domain=labels, range=[look.shape for look in looks]))
    lines = shared.mark_line(strokeWidth=3).encode(strokeDash=dash)
    return (lines + shared.mark_point(size=90, filled=True).encode(shape=shape)).properties(height=300)

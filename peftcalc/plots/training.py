"""Loss curves of a race as a figure to take away; on a page `ui.components.weights` draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peftcalc.lab.race_results import RaceResults
from peftcalc.methods import METHODS
from peftcalc.plots.style import LIGHT, METHOD_STYLES, Theme, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOOR = 1e-6
"""On a logarithmic axis, what is below counts as reached."""


def is_logarithmic(board: RaceResults) -> bool:
    """Relative errors fall over many powers of ten; cross-entropies do not."""
    return falls_far(_unit(board))


def falls_far(unit: str) -> bool:
    """Whether losses in this unit want a logarithmic axis."""
    return "relative" in unit


def curve_points(board: RaceResults) -> list[dict[str, Any]]:
    """What is drawn, at most 200 points a curve."""
    points = board.curves()
    if is_logarithmic(board):
        points = [{**point, "loss": max(FLOOR, point["loss"])} for point in points]
    return points


def curves_figure(board: RaceResults, theme: Theme = LIGHT) -> Figure:
    """The same curves as a matplotlib figure, for a slide."""
    figure, (axis,) = new_figure(8, 4.5, theme)
    points = curve_points(board)
    for method in board.race.methods:
        style, label = METHOD_STYLES[method], METHODS[method].label
        mine = [point for point in points if point["method"] == label]
        training, held_out = (
            [(p["step"], p["loss"]) for p in mine if p["curve"] == curve] for curve in ("training", "held out")
        )
        axis.plot(*_columns(training), color=style.color, linewidth=0.8, alpha=0.45)
        line = "solid" if style.dash == (1, 0) else (0, style.dash)
        axis.plot(
            *_columns(held_out), color=style.color, linewidth=2.2, linestyle=line, marker=style.marker, label=label
        )
    if is_logarithmic(board):
        axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel(f"loss ({_unit(board)}); thin: training, marks: held out")
    axis.legend(frameon=False, labelcolor=theme.text)
    return figure


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _unit(board: RaceResults) -> str:
    return board.race.settings(board.race.methods[0], board.race.seeds[0]).record.unit

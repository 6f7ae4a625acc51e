"""Losses of a run over its steps, and of a comparison at the end with their intervals over the seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcalc.lab.comparison import Comparison
from peftcalc.plots.results.axes import axes_of, depth_of, legend, plain
from peftcalc.plots.style import METHOD_STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from peftcalc.lab.run_settings import RunSettings
    from peftcalc.lab.sweeps.finished import FinishedRun
    from peftcalc.lab.training import Run

DECADES = 100
"""Losses that lie farther apart than this many times are drawn on a logarithmic axis."""
SMOOTHED = 20
"""Stretches of a run over which the training loss is averaged where it has more steps than twice that."""


def plot_run(run: Run, ax: Any = None) -> Axes:
    """The losses told so far; on axes that have another run's it is added to them."""
    looks = [(step, held_out) for step, _, held_out in run.told if held_out is not None]
    return _losses(run.settings, [(step, loss) for step, loss, _ in run.told if step], looks, ax)


def plot_finished_run(run: FinishedRun, ax: Any = None) -> Axes:
    """The training loss of every step, and the held-out loss before and after."""
    looks = [(0, run.before), (len(run.losses), run.validation)]
    return _losses(run.settings, list(enumerate(run.losses, 1)), looks, ax)


def _losses(
    settings: RunSettings, trained: Sequence[tuple[int, float]], looks: Sequence[tuple[int, float]], ax: Any
) -> Axes:
    """Training loss as a thin line, held-out loss as marks on a dashed one, in the method's colour."""
    method, style = settings.method, METHOD_STYLES[settings.method.name]
    trained, looks = ([(step, loss) for step, loss in told if math.isfinite(loss)] for told in (trained, looks))
    title = f"{settings.task}: training loss (thin) and held-out loss (marks)"
    ax = axes_of(ax, title, "step", f"loss ({settings.record.unit})")
    depth = depth_of(sum(line.get_color() == style.color for line in ax.lines) // 2)
    ax.plot(*_columns(_means(trained)), color=style.color, linewidth=0.9, alpha=0.6 * depth)
    dashes = (0, style.dash if style.dash[1] else ())
    name = plain(repr(method))
    look = {"marker": style.marker, "markersize": 7, "linestyle": dashes, "alpha": depth}
    ax.plot(*_columns(looks), color=style.color, label=name, **look)
    losses = [loss for line in ax.lines for loss in line.get_ydata()]
    if losses and min(losses) > 0 and max(losses) > DECADES * min(losses):
        ax.set_yscale("log")
    legend(ax)
    return ax


def _means(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """Means over stretches of a long run, so that its line can be read; a short one as it is."""
    if len(points) <= 2 * SMOOTHED:
        return points
    width = len(points) // SMOOTHED
    pieces = [points[start : start + width] for start in range(0, len(points), width)]
    return [(piece[len(piece) // 2][0], sum(loss for _, loss in piece) / len(piece)) for piece in pieces]


def _columns(points: Sequence[tuple[int, float]]) -> np.ndarray:
    return np.array(points, dtype=float).reshape(-1, 2).T


def plot_comparison(comparison: Comparison, ax: Any = None) -> Axes:
    """The mean held-out loss of each method with its 95 % interval, and a small dot for each seed that got there."""
    methods = comparison.methods
    x = f"held-out loss ({comparison.unit})"
    ax = axes_of(ax, f"{comparison.task}: mean and 95 % interval", x, "", height=1.4 + 0.45 * len(methods))
    for place, method in enumerate(methods):
        style, reached = METHOD_STYLES[method.name], comparison.validation(method)
        losses = [run.validation for run in comparison.of(method) if math.isfinite(run.validation)]
        ax.plot(losses, [place] * len(losses), "o", color=style.color, alpha=0.4, markersize=4)
        if math.isfinite(reached.mean):
            wide = reached.half_width if math.isfinite(reached.half_width) else None
            look = {"color": style.color, "marker": style.marker, "markersize": 9, "capsize": 4}
            ax.errorbar([reached.mean], [place], xerr=wide, **look)
    ax.set_yticks(range(len(methods)), [plain(repr(method)) for method in methods])
    ax.invert_yaxis()
    ax.margins(y=0.2)
    return ax

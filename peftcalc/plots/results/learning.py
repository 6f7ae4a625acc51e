"""A comparison: what each method reached, with its interval over the seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from peftcalc.lab.comparison import Comparison
from peftcalc.plots.results.axes import axes_of
from peftcalc.plots.style import METHOD_STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    ax.set_yticks(range(len(methods)), [repr(method) for method in methods])
    ax.invert_yaxis()
    ax.margins(y=0.2)
    return ax

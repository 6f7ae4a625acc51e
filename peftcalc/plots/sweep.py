"""A sweep as one picture: held-out loss against what is trained, and the front that nothing beats."""

from __future__ import annotations

import math
from typing import Any

from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.methods import METHODS
from peftcalc.plots.style import LIGHT, METHOD_STYLES, Theme, new_figure


def sweep_plot(results: SweepResults, ax: Any = None, theme: Theme = LIGHT) -> Any:
    """Mean held-out loss of every combination with its 95 % interval, on axes `ax` or new ones; returns the axes.

    Combinations of which a seed diverged are left out.
    """
    axis = new_figure(7.0, 4.5, theme)[1][0] if ax is None else ax
    named = set()
    for cell in results.cells():
        if not math.isfinite(cell.validation.mean):
            continue
        style, label = METHOD_STYLES[cell.method.name], METHODS[cell.method.name].label
        half = cell.validation.half_width
        axis.errorbar(
            cell.trainable,
            cell.validation.mean,
            yerr=half if math.isfinite(half) else None,
            color=style.color,
            marker=style.marker,
            linewidth=1,
            linestyle="none",
            label=None if label in named else label,
        )
        named.add(label)
    front = results.pareto()
    axis.plot([c.trainable for c in front], [c.validation.mean for c in front], color=theme.text, linewidth=1, zorder=0)
    axis.set_xscale("log")
    axis.set_xlabel("trained parameters")
    axis.set_ylabel(f"held-out loss ({results.runs[0].settings.record.unit})" if results.runs else "held-out loss")
    if named:
        axis.legend(frameon=False, labelcolor=theme.text)
    return axis

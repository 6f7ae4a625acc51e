"""A sweep as one picture: held-out loss against what is trained, and the front that nothing beats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.methods import METHODS
from peftcalc.plots.results.axes import axes_of, legend
from peftcalc.plots.style import LIGHT, METHOD_STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_sweep(results: SweepResults, ax: Any = None) -> Axes:
    """Mean held-out loss of every combination with its 95 % interval; those of which a seed diverged are left out."""
    unit = f" ({results.runs[0].settings.record.unit})" if results.runs else ""
    cells = [cell for cell in results.cells() if math.isfinite(cell.validation.mean)]
    title = f"{len(results.runs):,} runs: mean and 95 % interval, and the front"
    ax = axes_of(ax, title, "trained parameters", f"held-out loss{unit}", height=4.5)
    named = set()
    for cell in cells:
        style, label = METHOD_STYLES[cell.method.name], METHODS[cell.method.name].label
        half = cell.validation.half_width
        ax.errorbar(
            cell.trainable,
            cell.validation.mean,
            yerr=half if math.isfinite(half) else None,
            color=style.color,
            marker=style.marker,
            linestyle="none",
            label=None if label in named else label,
        )
        named.add(label)
    front = results.pareto()
    ax.plot([c.trainable for c in front], [c.validation.mean for c in front], color=LIGHT.text, linewidth=1, zorder=0)
    ax.set_xscale("log")
    if named:
        legend(ax)
    return ax

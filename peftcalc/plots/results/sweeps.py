"""A sweep as one picture: held-out loss against the learning rate where three of them were tried, else against what is
trained with the front that nothing beats."""

from __future__ import annotations

import math
from itertools import count
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import LogLocator, NullFormatter

from peftcalc import units
from peftcalc.lab.sweeps.results import Cell, SweepResults
from peftcalc.methods import METHODS
from peftcalc.plots.results.axes import axes_of, depth_of, legend, plain
from peftcalc.plots.style import LIGHT, METHOD_STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from peftcalc.lab.sweeps.sweep import Sweep

RATE = "learning_rate"


def plot_asked(sweep: Sweep, ax: Any = None) -> Axes:
    """What has finished so far."""
    return plot_sweep(sweep.results, ax)


def plot_sweep(results: SweepResults, ax: Any = None) -> Axes:
    """Mean held-out loss of every combination with its 95 % interval; those of which a seed diverged are left out."""
    unit = f" ({results.runs[0].settings.record.unit})" if results.runs else ""
    cells = [cell for cell in results.cells() if math.isfinite(cell.validation.mean)]
    rates = {cell.options.get(RATE) for cell in cells}
    if len(rates) > 2 and all(set(cell.options) == {RATE} for cell in cells):
        return _by_rate(results, cells, ax, unit)
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
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: units.short_count(value))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if named:
        legend(ax)
    return ax


def _by_rate(results: SweepResults, cells: list[Cell], ax: Any, unit: str) -> Axes:
    """A line over the learning rates for each setting of a method, fainter for each further one."""
    title = f"{len(results.runs):,} runs: mean and 95 % interval by learning rate"
    ax = axes_of(ax, title, "learning rate", f"held-out loss{unit}", height=4.5)
    turns: dict[str, count[int]] = {}
    for method in dict.fromkeys(run.method for run in results.runs):
        line = sorted((c for c in cells if c.method == method), key=lambda cell: cell.options[RATE])
        depth = depth_of(next(turns.setdefault(method.name, count())))
        style, halves = METHOD_STYLES[method.name], [cell.validation.half_width for cell in line]
        ax.errorbar(
            [cell.options[RATE] for cell in line],
            [cell.validation.mean for cell in line],
            yerr=halves if all(map(math.isfinite, halves)) else None,
            color=style.color,
            alpha=depth,
            marker=style.marker,
            capsize=3,
            label=plain(repr(method)),
        )
    ax.set_xscale("log")
    means = [cell.validation.mean for cell in cells]
    if min(means) > 0:
        ax.set_yscale("log")
        ax.set_ylim(0.7 * min(means), 1.4 * max(means))  # an interval may reach below zero
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    legend(ax)
    return ax

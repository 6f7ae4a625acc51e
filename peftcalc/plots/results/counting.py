"""Counts as bars by the name of the module, and the one matrix as a line over its ranks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcalc import units
from peftcalc.counting.counts import Count
from peftcalc.plots.results.axes import axes_of, legend, name_bars
from peftcalc.plots.style import METHOD_STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from peftcalc.counting.adapter_file import AdapterReport
    from peftcalc.counting.one_matrix import Square
    from peftcalc.models.shapes import ModelShapes

MOST_BARS = 14
"""Module names that have a bar of their own, the largest ones; the rest share one."""


def plot_count(count: Count, ax: Any = None) -> Axes:
    """Trained parameters by module name, the largest first."""
    bars = bars_of(count)
    share = f"{units.short_count(count.trainable)} trained of {units.short_count(count.total)}"
    title = f"{count.model}: {share}, {units.percent(count.percent)}"
    style = METHOD_STYLES.get(count.method.name, METHOD_STYLES["lora"])
    return _counted(ax, title, "trained parameters", bars, style.color)


def plot_adapter_config(report: AdapterReport, ax: Any = None) -> Axes:
    """What the adapter of this file trains."""
    return plot_count(report.count, ax)


def plot_shapes(shapes: ModelShapes, ax: Any = None) -> Axes:
    """A model's parameters by module name, the largest first; tied ones once."""
    title = f"{shapes.id}: {units.short_count(shapes.total)} parameters"
    return _counted(ax, title, "parameters", shape_bars(shapes), METHOD_STYLES["full"].color)


def plot_square(square: Square, ax: Any = None) -> Axes:
    """What the two factors hold at each rank, beside the whole matrix, which they overtake at half its side."""
    side, whole = square.dimension, square.matrix_parameters
    title = f"one matrix of side {side:,}: {units.percent(square.percent)} at rank {square.rank:,}"
    ax = axes_of(ax, title, "rank r", "trained parameters")
    ranks, lora = np.array([1.0, max(side, 2)]), METHOD_STYLES["lora"]
    ax.plot(ranks, 2.0 * side * ranks, color=lora.color, linewidth=2.5, label="B and A: 2 · D · r")
    full = METHOD_STYLES["full"].color
    ax.axhline(whole, color=full, linewidth=2, linestyle=(0, (5, 3)), label=f"the matrix: D² = {whole:,}")
    ax.plot([square.rank], [square.trainable], lora.marker, color=lora.color, markersize=10)
    ax.annotate(f"{square.trainable:,}", (square.rank, square.trainable), (8, -14), textcoords="offset points")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.yaxis.set_major_formatter(lambda value, _: units.short_count(value))
    legend(ax)
    return ax


def bars_of(count: Count) -> dict[str, float]:
    """Trained parameters by the words of each bar, the largest first."""
    return largest_first((f"{row['part']} {row['name']}".strip(), row["trainable"]) for row in count.kind_rows())


def shape_bars(shapes: ModelShapes) -> dict[str, float]:
    """A model's parameters by the words of each bar, the largest first."""
    part = shapes.part_names()
    named = ((f"{part(group.template)} {group.suffix}".strip(), group.parameters) for group in shapes.groups)
    return largest_first((words, size) for words, size in named if size)


def largest_first(sizes: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums by name, the largest first; beyond `MOST_BARS` the rest shares one."""
    sums: dict[str, float] = {}
    for words, size in sizes:
        sums[words] = sums.get(words, 0) + size
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    rest = sum(size for _, size in ordered[MOST_BARS:])
    return dict(ordered[:MOST_BARS]) | ({f"{len(ordered) - MOST_BARS} others": rest} if rest else {})


def _counted(ax: Any, title: str, x: str, bars: dict[str, float], color: str) -> Axes:
    ax = axes_of(ax, title, x, "", height=1.2 + 0.32 * max(1, len(bars)))
    name_bars(ax, bars, {name: units.short_count(size) for name, size in bars.items()}, color)
    ax.xaxis.set_major_formatter(lambda value, _: units.short_count(round(value)))
    return ax

"""Estimates as stacked bars, traces as stacked areas: the bytes of each part in the part's colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from peftcalc.memory.records import PARTS, PHASES, MemoryBreakdown, MemoryTrace
from peftcalc.plots.memory import PART_COLORS
from peftcalc.plots.results.axes import axes_of, legend
from peftcalc.plots.style import LIGHT
from peftcalc.units import GIB, gib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 400
"""Points of a trace that are drawn; the highest of each stretch is among them."""


def plot_breakdown(breakdown: MemoryBreakdown, ax: Any = None) -> Axes:
    """One stacked bar, a colour for each part that holds bytes."""
    phase = getattr(breakdown, "phase", "")
    where = f", in the {phase}" if phase else ""
    ax = axes_of(ax, f"{gib(breakdown.total)} at the peak{where}", "GiB allocated", "", height=2.6)
    stack(ax, 0, [(f"{words}, {gib(size)}", PART_COLORS[part], size) for part, words, size in held(breakdown)])
    ax.set_yticks([])
    legend(ax, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.42))
    return ax


def held(breakdown: MemoryBreakdown) -> list[tuple[str, str, int]]:
    """Name, words and bytes of the parts that hold some."""
    sizes = ((part, words, getattr(breakdown, part)) for part, words in PARTS.items())
    return [(part, words, size) for part, words, size in sizes if size]


def stack(ax: Axes, place: int, pieces: Iterable[tuple[str, str, int]]) -> None:
    """A stacked bar of pieces, each with its words, colour and bytes; words that have stood already are left out."""
    said, left = ax.get_legend_handles_labels()[1], 0.0
    for words, color, size in pieces:
        ax.barh([place], [size / GIB], left=left, color=color, label="" if words in said else words)
        left += size / GIB


def plot_trace(trace: MemoryTrace, ax: Any = None) -> Axes:
    """The bytes of each part over the operators of one step; the peak is marked, the phases are named."""
    title = f"{gib(trace.peak)} at the peak, in the {trace.phase}"
    ax = axes_of(ax, title, "operators of one step, in order", "GiB allocated", height=4.4)
    shown = trace.telling_points(MOST_POINTS)
    parts = [part for part in PARTS if any(getattr(point.breakdown, part) for point in trace.timeline)]
    rows = [[getattr(trace.timeline[place].breakdown, part) / GIB for place in shown] for part in parts]
    ax.stackplot(shown, *rows, colors=[PART_COLORS[part] for part in parts], labels=[PARTS[part] for part in parts])
    highest = max(shown, key=lambda place: trace.timeline[place].allocated_bytes)
    ax.plot([highest], [trace.peak / GIB], "o", color=LIGHT.text)
    ax.set_ylim(0, 1.2 * trace.peak / GIB)
    phases = [point.phase for point in trace.timeline]
    for turn, phase in enumerate(phase for phase in PHASES if phase in phases):
        start = phases.index(phase)
        ax.axvline(start, color=LIGHT.text, linewidth=0.8, linestyle=(0, (3, 3)))
        ax.text(start, (1.16 - 0.06 * (turn % 2)) * trace.peak / GIB, f" {phase}", color=LIGHT.text, fontsize=10)
    ax.tick_params(axis="x", labelbottom=False)
    legend(ax, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return ax

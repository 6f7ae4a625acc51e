"""What an adapter holds and what a smaller one loses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peftcalc import units
from peftcalc.plots.results.axes import axes_of, name_bars
from peftcalc.plots.results.counting import MOST_BARS
from peftcalc.plots.style import METHOD_STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from peftcalc.doctor.cut import CutAdapter
    from peftcalc.doctor.report import AdapterInspection


def plot_inspection(inspection: AdapterInspection, ax: Any = None) -> Axes:
    """The share of all updates' energy that is kept when each is cut to a rank."""
    kept = [100 * share for share in inspection.energy.values()]
    title = f"{inspection.name}: rank {inspection.rank_for()} of {inspection.largest_rank} keeps 99 % of the energy"
    if not kept:
        title = f"{inspection.name}: no update that could be measured"
    ax = axes_of(ax, title, "each update cut to rank", "energy kept, %")
    style = METHOD_STYLES.get(inspection.method.lower(), METHOD_STYLES["lora"])
    ax.plot(list(inspection.energy), kept, marker=style.marker, color=style.color, linewidth=2.5)
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(inspection.energy), [f"{rank:,}" for rank in inspection.energy])
    ax.set_ylim(0, 105)
    return ax


def plot_cut(cut: CutAdapter, ax: Any = None) -> Axes:
    """The share of its update's energy that each module loses, the largest first."""
    lost = {one.module: 100 * one.energy_lost / one.energy if one.energy else 0.0 for one in cut.layers}
    shown = dict(sorted(lost.items(), key=lambda item: -item[1])[:MOST_BARS])
    sizes = f"{units.gb(cut.file_bytes)} of {units.gb(cut.file_bytes_before)}"
    title = f"rank {cut.rank}: {sizes}, {units.percent(cut.energy_lost_percent)} of the energy lost"
    ax = axes_of(ax, title, "energy lost, %", "", height=1.2 + 0.32 * max(1, len(shown)))
    name_bars(ax, shown, {name: units.percent(share) for name, share in shown.items()}, METHOD_STYLES["lora"].color)
    return ax

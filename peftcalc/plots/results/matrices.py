"""What moved in a matrix: rows as points of turn and length, and the energy of an update within a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peftcalc.geometry.direction import Decomposition, pure_turning
from peftcalc.geometry.spectrum import Spectrum
from peftcalc.plots.results.axes import axes_of, legend
from peftcalc.plots.style import LIGHT, METHOD_STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_decomposition(change: Decomposition, ax: Any = None) -> Axes:
    """A dot a neuron: its relative change of length against its turn, and where an update at right angles puts it."""
    title = f"ΔM = {change.magnitude_change:.4g}, ΔD = {change.direction_change:.4g}"
    ax = axes_of(ax, title, "turn, 1 − cos θ", "change of length, Δm / m")
    finite = np.isfinite(change.relative_lengths)
    turns, lengths = change.turns[finite], change.relative_lengths[finite]
    ax.plot(turns, lengths, ".", color=METHOD_STYLES["dora"].color, alpha=0.6, label=f"{len(turns):,} neurons")
    farthest = min(0.95, float(turns.max(initial=0.0)))
    if farthest > 0:
        curve = np.linspace(0, farthest, 60)
        ax.plot(
            curve, pure_turning(curve), color=METHOD_STYLES["full"].color, linestyle=(0, (5, 3)), label="only turned"
        )
    legend(ax)
    return ax


def plot_spectrum(spectrum: Spectrum, ax: Any = None) -> Axes:
    """The share of the update's energy in each singular value, and within each rank."""
    ranks = np.arange(1, len(spectrum.singular_values) + 1)
    title = f"effective rank {spectrum.effective_rank:.3g} of {len(ranks)}"
    ax = axes_of(ax, title, "rank r", "share of the energy ‖ΔW‖²")
    energy = spectrum.energy
    ax.bar(ranks, np.diff(energy, prepend=0.0), color=METHOD_STYLES["full"].color, label="of singular value r alone")
    line = {"color": METHOD_STYLES["lora"].color, "linewidth": 2.5}
    ax.plot(ranks, energy, label="within rank r", **line)
    ax.axhline(1, color=LIGHT.grid, linewidth=0.8)
    ax.set_ylim(0, 1.05)
    legend(ax)
    return ax

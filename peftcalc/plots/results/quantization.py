"""What a quantized tensor holds, and what it lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peftcalc.plots.quantization import FORMAT_COLORS
from peftcalc.plots.results.axes import axes_of, legend
from peftcalc.plots.style import LIGHT
from peftcalc.quant.errors import QuantizationError
from peftcalc.quant.quantized import Quantized

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_quantized(quantized: Quantized, ax: Any = None) -> Axes:
    """How many of the numbers have each code."""
    codes, counts = np.unique(quantized.code_values().cpu().numpy(), return_counts=True)
    title = f"{quantized.format}: {quantized.count:,} numbers at {quantized.bits_per_value:.4g} bits"
    ax = axes_of(ax, title, "code", "% of the numbers")
    ax.bar(codes, 100 * counts / max(1, quantized.count), width=0.85, color=_color(quantized.format))
    if len(codes) <= 16:
        ax.set_xticks(codes)
    return ax


def plot_error(error: QuantizationError, ax: Any = None) -> Axes:
    """The root mean square error of the groups that share a scale, and of the whole."""
    title = f"{error.format}: {error.sqnr_db:.1f} dB, {error.bits_per_value:.4g} bits a number"
    ax = axes_of(ax, title, f"RMSE of the {error.group_size:,} numbers that share a scale", "groups")
    ax.hist(error.block_rmse, bins=min(40, max(1, len(error.block_rmse))), color=_color(error.format))
    ax.axvline(error.rmse, color=LIGHT.text, linestyle=(0, (4, 3)), label=f"of all numbers: {error.rmse:.3g}")
    legend(ax)
    return ax


def _color(form: str) -> str:
    return FORMAT_COLORS.get(form, FORMAT_COLORS["int8"])

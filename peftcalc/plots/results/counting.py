"""A count as bars: what is trained, by the name of the module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peftcalc import units
from peftcalc.counting.counts import Count
from peftcalc.plots.results.axes import axes_of
from peftcalc.plots.style import LIGHT, METHOD_STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 14
"""Module names that have a bar of their own, the largest ones; the rest share one."""


def plot_count(count: Count, ax: Any = None) -> Axes:
    """Trained parameters by module name, the largest first."""
    bars = bars_of(count)
    share = f"{units.short_count(count.trainable)} trained of {units.short_count(count.total)}"
    title = f"{count.model}: {share}, {units.percent(count.percent)}"
    ax = axes_of(ax, title, "trained parameters", "", height=1.2 + 0.32 * max(1, len(bars)))
    style = METHOD_STYLES.get(count.method.name, METHOD_STYLES["lora"])
    drawn = ax.barh(list(bars), list(bars.values()), color=style.color)
    ax.bar_label(drawn, [units.short_count(size) for size in bars.values()], padding=4, color=LIGHT.text)
    ax.xaxis.set_major_formatter(lambda value, _: units.short_count(round(value)))
    ax.margins(x=0.12)
    ax.invert_yaxis()
    return ax


def bars_of(count: Count) -> dict[str, int]:
    """Trained parameters by the words of each bar, the largest first."""
    sizes: dict[str, int] = {}
    for row in count.kind_rows():
        words = f"{row['part']} {row['name']}".strip()
        sizes[words] = sizes.get(words, 0) + row["trainable"]
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    rest = sum(size for _, size in ordered[MOST_BARS:])
    return dict(ordered[:MOST_BARS]) | ({f"{len(ordered) - MOST_BARS} others": rest} if rest else {})

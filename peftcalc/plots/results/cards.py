"""What a card must hold, and how fast it is: methods beside the card's line, serving, the seconds of a step, hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peftcalc import units
from peftcalc.advice.advise import Advice
from peftcalc.memory.fit import Fit
from peftcalc.plots.memory import MARKS, PART_COLORS, VERDICT_COLORS
from peftcalc.plots.results.axes import axes_of, legend, name_bars
from peftcalc.plots.results.counting import largest_first
from peftcalc.plots.results.memory import held, stack
from peftcalc.plots.serving import SERVED, SERVED_COLORS
from peftcalc.plots.style import LIGHT, METHOD_STYLES
from peftcalc.units import GIB, gib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from peftcalc.memory.serving.records import ServingEstimate
    from peftcalc.speed.records import SpeedEstimate
    from peftcalc.speed.run import RunCost

_AROUND = ("allocator and CUDA context", LIGHT.grid)


def plot_fit(fit: Fit, ax: Any = None) -> Axes:
    """One method's bytes beside the card's line."""
    return plot_fits([fit], ax)


def plot_fits(fits: Sequence[Fit], ax: Any = None, title: str = "") -> Axes:
    """The expected bytes of each method, stacked by part, beside what the card can use."""
    words = title or (f"A training step on the {fits[0].gpu.name}" if fits else "No method was asked for")
    ax = axes_of(ax, words, "GiB at the peak, allocator and CUDA context included", "", _height(len(fits)))
    for place, one in enumerate(fits):
        parts = [(name, PART_COLORS[part], size) for part, name, size in held(one.estimate)]
        stack(ax, place, [*parts, (*_AROUND, one.needed.expected_bytes - one.needed.peak_bytes)])
    _bars_told(ax, [(one.method.label, one.needed.expected_bytes, one.verdict) for one in fits])
    if fits:
        _card_line(ax, fits[0].gpu.usable_bytes)
    return ax


def plot_advice(advice: Advice, ax: Any = None) -> Axes:
    """The methods that were weighed, on the card, with the one that is advised in the title."""
    how = " with checkpointing" if advice.checkpointing else ""
    return plot_fits(advice.fits, ax, f"{advice.wish.name} on the {advice.fit.gpu.name}: {advice.method!r}{how}")


def plot_serving(estimate: ServingEstimate, ax: Any = None) -> Axes:
    """What serving takes, stacked by part, beside what the card can use."""
    title = f"Serving on the {estimate.card}: at most {estimate.most_users:,} users at once"
    ax = axes_of(ax, title, "GiB, allocator and CUDA context included", "", _height(1))
    parts = [(words, SERVED_COLORS[part], getattr(estimate, part)) for part, words in SERVED.items()]
    around = (*_AROUND, estimate.needed.expected_bytes - estimate.needed.peak_bytes)
    stack(ax, 0, [*((words, color, size) for words, color, size in parts if size), around])
    _bars_told(ax, [("", estimate.needed.expected_bytes, estimate.verdict)])
    _card_line(ax, estimate.usable_bytes)
    return ax


def plot_speed(speed: SpeedEstimate, ax: Any = None) -> Axes:
    """The seconds of one step, by what they go to, the largest first."""
    low, high = speed.low_tokens_per_second, speed.high_tokens_per_second
    title = f"{speed.card}: {speed.tokens_per_second:,.0f} tokens/s ({low:,.0f} to {high:,.0f}), bound by {speed.bound}"
    bars = largest_first((term.name, term.seconds) for term in speed.terms)
    ax = axes_of(ax, title, "seconds of one step", "", height=1.2 + 0.32 * max(1, len(bars)))
    name_bars(ax, bars, {name: f"{seconds:.3g} s" for name, seconds in bars.items()}, METHOD_STYLES["full"].color)
    return ax


def plot_run_cost(cost: RunCost, ax: Any = None) -> Axes:
    """The hours of a run as a point with its range; the money stands in the title."""
    money = "" if cost.money is None else f", {cost.money:,.2f} ({cost.low_money:,.2f} to {cost.high_money:,.2f})"
    title = f"{cost.hours:,.3g} hours ({cost.low_hours:,.3g} to {cost.high_hours:,.3g}){money}"
    ax = axes_of(ax, title, f"hours of {cost.steps:,} steps, {units.short_count(cost.tokens)} tokens", "", height=1.6)
    around = [[cost.hours - cost.low_hours], [cost.high_hours - cost.hours]]
    ax.errorbar([cost.hours], [0], xerr=around, marker="o", markersize=9, capsize=5, color=METHOD_STYLES["lora"].color)
    ax.set_xlim(left=0)
    ax.set_yticks([])
    return ax


def _height(bars: int) -> float:
    return 2.2 + 0.42 * max(1, bars)


def _bars_told(ax: Axes, bars: Sequence[tuple[str, int, str]]) -> None:
    """Names of the bars with their sizes, and the verdict's mark and words."""
    told = [f"{name}  {gib(size)}\n{MARKS[verdict]} {verdict}".lstrip() for name, size, verdict in bars]
    ax.set_yticks(range(len(bars)), told)
    ax.grid(visible=False, axis="y")
    ax.invert_yaxis()


def _card_line(ax: Axes, usable: int) -> None:
    color = VERDICT_COLORS["does not fit"]
    ax.axvline(usable / GIB, color=color, linewidth=2, linestyle=(0, (5, 3)), label=f"the card has {gib(usable)}")
    legend(ax, ncols=3, loc="upper center", bbox_to_anchor=(0.42, -0.1 - 0.5 / max(1, len(ax.get_yticks()))))

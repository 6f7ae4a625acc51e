"""Differences with their intervals beside a line at zero: what is resolved is what does not touch it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peftcalc.plots.channels import MARKS_ON_TOP, ONE_LEGEND, by_value, layer, name, number, tells
from peftcalc.plots.chart import Chart, Spec

COLORS = ("#2f7ed8", "#d55e1f", "#168f74", "#b6539d", "#808080", "#b37f00")
SHAPES = ("square", "triangle-up", "diamond", "cross", "circle", "triangle-right")


def intervals_chart(
    rows: Sequence[Mapping[str, Any]], axis: str, zero: str = "", step: int = 34, from_zero: bool = False
) -> Chart:
    """A mark with its 95 % interval in each row, on a common axis.

    Args:
        rows: name (of the row), kind (its colour and mark; one for all leaves the legend out), mean, low, high, seeds.
        axis: what the numbers are.
        zero: what stands at zero, written above its line; no line without it.
        step: points between rows.
        from_zero: whether the axis begins there; it does where there is a line.
    """
    kinds = tuple(dict.fromkeys(str(row["kind"]) for row in rows))
    at = [{"zero": 0, "says": zero}] if zero else []
    return Chart(_intervals, (axis, bool(zero), from_zero, step, *kinds), {"rows": rows, "zero": at})


def _intervals(axis: str, with_zero: bool, from_zero: bool, step: int, *kinds: str) -> Spec:
    x = number(
        "mean", axis, scale={"zero": with_zero or from_zero, "nice": False, "padding": 10}, axis={"tickCount": 5}
    )
    y = name("name", None, sort=None, axis={"labelLimit": 260, "labelFontSize": 13, "ticks": False, "grid": True})
    told = tells(name="what", kind="kind", mean=("mean", ".4f"), low=("95 % from", ".4f"), high=("to", ".4f"),
                 seeds=("seeds", "d"))  # fmt: skip
    legend = MARKS_ON_TOP if len(kinds) > 1 else None
    color = name("kind", scale=by_value(dict(zip(kinds, COLORS, strict=False))), sort=None, legend=legend)
    shape = name("kind", scale=by_value(dict(zip(kinds, SHAPES, strict=False))), sort=None, legend=legend)
    apart = {"yOffset": {"field": "kind", "sort": None}} if len(kinds) > 1 else {}
    whisker = {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": {**color, "legend": None}, **apart}
    layers = [
        layer("rows", {"type": "rule", "strokeWidth": 3}, **whisker),
        layer(
            "rows",
            {"type": "point", "size": 110, "filled": True, "opacity": 1},
            x=x,
            y=y,
            color=color,
            shape=shape,
            tooltip=told,
            **apart,
        ),
    ]
    if with_zero:
        at = number("zero", axis)
        text = {"type": "text", "align": "left", "baseline": "bottom", "dx": 4, "dy": -2, "y": 0, "fontSize": 12}
        layers = [
            layer("zero", {"type": "rule", "strokeDash": [4, 3], "style": "ink"}, x=at),
            *layers,
            layer("zero", text, x=at, y={"value": 0}, text=name("says")),
        ]
    return {
        "description": "Means with 95 % intervals in rows on a common axis.",
        "height": {"step": step, "for": "position"},
        "layer": layers,
        **ONE_LEGEND,
    }

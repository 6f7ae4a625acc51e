"""Curves with intervals over seeds: loss over the learning rate by rank, and what is learned by heart over the rank."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from peftcalc.plots.channels import (
    LOG2,
    MARKS_ON_TOP,
    ONE_LEGEND,
    by_value,
    columns,
    faint_unless_picked,
    layer,
    name,
    number,
    picked,
    tells,
)
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.style import METHOD_STYLES

Rows = Sequence[Mapping[str, Any]]

FULL = "full fine-tuning"
SHADES = ("#5a94d6", "#2f7ed8", "#6f6fd8", "#9355c9", "#b6539d", "#168f74")
"""Of series of one method, from the lowest rank on; each keeps 3:1 on both backgrounds."""
DASHES = ([2, 2], [7, 2], [5, 2, 1, 2], [9, 2, 1, 2, 1, 2], [1, 0], [3, 5])
SHAPES = ("square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
HEIGHT = 260
LEGEND = {**MARKS_ON_TOP, "columns": columns(0, (560, 3))}
_TICKS = [round(one * 10.0**power, 6) for power in range(-5, 3) for one in (1, 3)]
"""Of logarithmic axes: half a decade apart, roughly."""
RING = {"type": "point", "size": 260, "strokeWidth": 2, "style": "ink", "filled": False}
"""Around a point that the text speaks of."""
BELOW, ABOVE = 0.75, 1.3
"""How far the axis of a loss goes beyond its lowest and highest mean."""
LOSS_SCALE = {"type": "log", "nice": False, "padding": 10}
LOSS_AXIS = {"format": "~g", "values": _TICKS}


def rates_chart(rows: Rows, unit: str, asked: str = "") -> Chart:
    """Held-out loss over the learning rate, a line for each series with its interval; the lowest point of each ringed.

    An interval that is much longer than the curves are high ends in arrows, and its half is written beside them.

    Args:
        rows: series, x (the rate), mean, low, high, seeds; in the order of the legend.
        unit: of the loss.
        asked: what a guess brings, written into the picture; a line's end in it is one.
    """
    lowest: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["series"] not in lowest or row["mean"] < lowest[row["series"]]["mean"]:
            lowest[row["series"]] = row
    means = [row["mean"] for row in rows] or [1.0]
    bottom, top = BELOW * min(means), ABOVE * max(means)
    drawn = [{**row, "from": max(row["low"], bottom), "to": min(row["high"], top)} for row in rows]
    data = {"points": drawn, "lowest": list(lowest.values()), "beyond": _beyond(rows, bottom, top), "asked": []}
    if asked:
        data["asked"] = [{"says": asked}]
    return Chart(_rates, (unit, *_series(rows)), data)


def _beyond(rows: Rows, bottom: float, top: float) -> list[dict[str, Any]]:
    """The arrows of intervals that end outside, and one word on each."""
    ends = (("high", top, "▲"), ("low", bottom, "▼"))
    return [
        {
            "x": row["x"],
            "end": edge,
            "arrow": arrow,
            "says": f"± {(row['high'] - row['low']) / 2:.2g}" if end == "high" else "",
            "series": row["series"],
        }
        for row in rows
        for end, edge, arrow in ends
        if not bottom <= row[end] <= top
    ]


def _rates(unit: str, *series: str) -> Spec:
    x = number("x", "learning rate", scale=LOSS_SCALE, axis={**LOSS_AXIS, "grid": False})
    y = number("mean", f"held-out loss ({unit})", scale=LOSS_SCALE, axis=LOSS_AXIS)
    told = tells(series="method", x=("learning rate", ".2g"), mean=("held-out loss", ".4g"), low=("95 % from", ".4g"),
                 high=("to", ".4g"), seeds=("seeds", "d"))  # fmt: skip
    at_end = {"x": x, "y": {**y, "field": "end"}}
    color = name("series", scale=by_value(_looks(series, SHADES, "color")), sort=None, legend=None)
    beside = {"type": "text", "align": "right", "dx": -9, "fontSize": 13}
    hint = {"type": "text", "fontSize": 14, "fontWeight": "bold", "lineBreak": "\n", "baseline": "top"}
    return {
        "description": "Held-out loss over the learning rate, a line for each rank; a ring where it is lowest.",
        "height": HEIGHT,
        "layer": [
            *_lines(x, y, told, series, ("from", "to")),
            layer("lowest", RING, x=x, y=y, color={"value": "#808080"}),
            layer("beyond", {"type": "text", "fontSize": 15}, **at_end, text=name("arrow"), color=color),
            layer("beyond", beside, **at_end, text=name("says")),
            layer("asked", {**hint, "x": {"expr": "width / 2"}, "y": 2}, text=name("says")),
        ],
        **ONE_LEGEND,
    }


def capacity_chart(rows: Rows, full_at: float) -> Chart:
    """Training accuracy on random labels over the rank, a line for each number of images with its interval.

    Args:
        rows: series (the images), x (the rank), mean, low, high (0 to 1), seeds.
        full_at: the place on the axis of ranks at which full fine-tuning stands.
    """
    ranks = tuple(sorted({float(row["x"]) for row in rows}))
    drawn = [{**row, "low": max(row["low"], 0.0), "high": min(row["high"], 1.0)} for row in rows]
    return Chart(_capacity, (full_at, ranks, *_series(rows)), {"points": drawn})


def _capacity(full_at: float, ranks: tuple[float, ...], *series: str) -> Spec:
    labels = {"labelExpr": f"datum.value == {full_at:g} ? 'full' : datum.label"}
    axis = {"format": "d", "grid": False, "values": list(ranks), **labels}
    x = number("x", "rank of the adapter", scale={**LOG2, "padding": 10, "nice": False}, axis=axis)
    shares = {"format": "%", "values": [0, 0.2, 0.4, 0.6, 0.8, 1]}
    y = number("mean", "learned by heart", scale={"domain": [0, 1.05], "nice": False}, axis=shares)
    told = tells(series="labels", x=("rank", "d"), mean=("learned by heart", ".1%"), low=("95 % from", ".1%"),
                 high=("to", ".1%"), seeds=("seeds", "d"))  # fmt: skip
    return {
        "description": "Training accuracy on random labels over the rank, a line for each number of images.",
        "height": HEIGHT,
        "layer": _lines(x, y, told, series),
        **ONE_LEGEND,
    }


def counts_chart(rows: Rows, compared: Rows = ()) -> Chart:
    """Intruders over the learning rate, a line for each method with its interval.

    Args:
        rows: series, x (the rate), mean, low, high, seeds.
        compared: those of them at which the methods are compared; ringed.
    """
    drawn = [{**row, "low": max(row["low"], 0.0)} for row in rows]
    return Chart(_counts, _series(rows), {"points": drawn, "compared": list(compared)})


def _counts(*series: str) -> Spec:
    x = number("x", "learning rate", scale=LOSS_SCALE, axis={**LOSS_AXIS, "grid": False})
    y = number("mean", "intruders among ten", scale={"nice": False, "padding": 10}, axis={"tickCount": 5})
    told = tells(series="method", x=("learning rate", ".2g"), mean=("intruders", ".2f"), low=("95 % from", ".2f"),
                 high=("to", ".2f"), seeds=("seeds", "d"))  # fmt: skip
    return {
        "description": "Intruders among the ten strongest directions over the learning rate, a line for each method.",
        "height": 220,
        "layer": [*_lines(x, y, told, series), layer("compared", RING, x=x, y=y, color={"value": "#808080"})],
        **ONE_LEGEND,
    }


def _lines(
    x: Spec, y: Spec, told: list[Spec], series: Sequence[str], ends: tuple[str, str] = ("low", "high")
) -> list[Spec]:
    """A line, a mark for each point and its interval; the legend of the marks stands above."""
    color = name("series", scale=by_value(_looks(series, SHADES, "color")), sort=None, legend=LEGEND)
    plain = {**color, "legend": None}
    dash = name("series", scale=by_value(_looks(series, DASHES, "dash")), sort=None, legend=None)
    shape = name("series", scale=by_value(_looks(series, SHAPES, "shape")), sort=None, legend=LEGEND)
    faint = faint_unless_picked()
    whisker = {"x": x, "y": {**y, "field": ends[0]}, "y2": {"field": ends[1]}, "color": plain, "opacity": faint}
    line = {"x": x, "y": y, "color": plain, "strokeDash": dash, "opacity": faint}
    mark = {"x": x, "y": y, "color": color, "shape": shape, "opacity": faint, "tooltip": told}
    return [
        layer("points", {"type": "rule", "strokeWidth": 2, "clip": True}, **whisker),
        layer("points", {"type": "line", "strokeWidth": 3, "clip": True}, **line),
        layer("points", {"type": "point", "size": 80, "filled": True, "clip": True}, [picked("series")], **mark),
    ]


def _looks(series: Sequence[str], values: Sequence[Any], what: str) -> dict[str, Any]:
    """Full fine-tuning as everywhere, the others by their place."""
    full = getattr(METHOD_STYLES["full"], what)
    others = itertools.cycle(values)
    return {one: (list(full) if isinstance(full, tuple) else full) if one == FULL else next(others) for one in series}


def _series(rows: Rows) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(row["series"]) for row in rows))

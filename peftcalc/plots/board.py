"""Many runs on one board: loss against what it costs with its front, the same by method, and answers as bars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from peftcalc.methods import METHODS, LoRA
from peftcalc.plots.channels import MARKS_ON_TOP, layer, name, number, of_methods, step, tells
from peftcalc.plots.chart import Chart, Spec
from peftcalc.units import gib

if TYPE_CHECKING:
    from peftcalc.lab.sweeps.results import Cell, SweepResults

COSTS = {"trainable": "trained parameters", "peak_bytes": "MiB at the peak of a step"}
"""What the loss is set against: the cell's field, and the axis."""
RIGHT, OTHER = "#168f74", "#7d8795"
"""Of the answer that is right, and of the others."""
_TOLD = {
    "text": "settings",
    "mean": ("held-out loss, mean", ".3g"),
    "low": ("95 % from", ".3g"),
    "high": ("to", ".3g"),
    "seeds": ("runs", "d"),
    "cost_text": "cost",
}


def board_front_chart(results: SweepResults, cost: str, unit: str) -> Chart:
    """A mark for each combination at its mean, a line for its 95 % interval; a dashed line joins the front.

    Args:
        results: of which diverged combinations are left out.
        cost: a name of `COSTS`.
        unit: of the loss.
    """
    front = [_row(cell, cost) for cell in results.pareto(cost)]
    return Chart(_front, (COSTS[cost], unit), {"cells": board_rows(results, cost), "front": front})


def board_methods_chart(results: SweepResults, unit: str) -> Chart:
    """Small multiples by method: loss over rank, all with the same axes."""
    return Chart(_methods, (unit,), {"cells": board_rows(results, "trainable")})


def answers_chart(counts: Mapping[str, int], right: str) -> Chart:
    """How often each option was chosen; the right one stands out, in words too.

    Args:
        counts: by option, in their order.
        right: the option that is right; empty while that is not told.
    """
    rows = [
        {"option": f"✓ {option}" if option == right else option, "count": count, "right": option == right}
        for option, count in counts.items()
    ]
    return Chart(_answers, (), {"answers": rows})


def board_rows(results: SweepResults, cost: str) -> list[dict[str, Any]]:
    """A row for each combination that did not diverge."""
    return [_row(cell, cost) for cell in results.cells() if math.isfinite(cell.validation.mean)]


def _row(cell: Cell, cost: str) -> dict[str, Any]:
    mean, half = cell.validation.mean, cell.validation.half_width
    half = half if math.isfinite(half) else 0.0
    value = getattr(cell, cost)
    return {
        "text": cell.label.replace("_", " "),
        "method": METHODS[cell.method.name].label,
        "rank": str(cell.method.rank) if isinstance(cell.method, LoRA) else "all",
        "order": cell.method.rank if isinstance(cell.method, LoRA) else 10**6,
        "cost": value / 2**20 if cost == "peak_bytes" else value,
        "cost_text": gib(value) if cost == "peak_bytes" else f"{value:,} trained",
        "mean": mean,
        "low": max(0.0, mean - half),
        "high": mean + half,
        "seeds": cell.validation.count,
    }


def _points(x: Spec, unit: str, legend: Spec | None) -> list[Spec]:
    y = number("mean", f"held-out loss ({unit})", axis={"tickCount": 6})
    looks = {
        "color": name("method", scale=of_methods("color"), legend=legend),
        "shape": name("method", scale=of_methods("shape"), legend=legend),
    }
    whisker = {"x": x, "y": number("low", f"held-out loss ({unit})"), "y2": {"field": "high"}, "color": looks["color"]}
    return [
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": whisker},
        {
            "mark": {"type": "point", "size": 130, "filled": True, "opacity": 0.9},
            "encoding": {"x": x, "y": y, **looks, "tooltip": tells(**_TOLD)},
        },
    ]


def _front(axis: str, unit: str) -> Spec:
    x = number("cost", axis, scale={"type": "log"}, axis={"format": "~s", "grid": False, "tickCount": 5})
    y = number("mean", f"held-out loss ({unit})")
    order = {"field": "cost", "type": "quantitative"}
    front = layer(
        "front", {"type": "line", "strokeDash": [4, 3], "style": "ink", "opacity": 0.7}, x=x, y=y, order=order
    )
    marks = [{"data": {"name": "cells"}, **one} for one in _points(x, unit, MARKS_ON_TOP)]
    return {
        "description": "Held-out loss against cost, a mark for each combination; a dashed line joins those that "
        "nothing beats.",
        "height": 320,
        "layer": [front, *marks],
    }


def _methods(unit: str) -> Spec:
    x = step("rank", "rank", sort={"field": "order"}, axis={"labelAngle": 0})
    return {
        "description": "Held-out loss over rank, a panel for each method, with the same axes.",
        "data": {"name": "cells"},
        "facet": name("method", None, sort=[METHODS[one].label for one in METHODS], header={"labelFontSize": 14}),
        "columns": 5,
        "spec": {"width": 180, "height": 260, "layer": _points(x, unit, None)},
    }


def _answers() -> Spec:
    return {
        "description": "How many chose each answer.",
        "height": {"step": 44},
        "data": {"name": "answers"},
        "mark": {"type": "bar"},
        "encoding": {
            "y": name("option", None, sort=None, axis={"labelLimit": 320, "labelFontSize": 14, "ticks": False}),
            "x": number("count", "answers", axis={"tickMinStep": 1, "format": "d"}),
            "color": name("right", scale={"domain": [False, True], "range": [OTHER, RIGHT]}, legend=None),
            "tooltip": tells(option="answer", count=("chosen", "d")),
        },
    }

"""Figures of direction and magnitude: ΔM against ΔD, single neurons, and the knock-out by rank."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from peftcalc.geometry.direction import pure_turning
from peftcalc.methods import METHODS
from peftcalc.plots.channels import (
    LOG2,
    MARKS_ON_TOP,
    ONE_LEGEND,
    by_value,
    faint_unless_picked,
    layer,
    name,
    number,
    of_methods,
    picked,
    tells,
    zoom,
)
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.style import METHOD_STYLES

if TYPE_CHECKING:
    import pandas as pd

    from peftcalc.plots.chart import Table

START = np.array([1.4, 0.5])
"""The frozen row of the arrow, two numbers long."""
RANDOM = "#8a6d00"
PANEL_HEIGHT = 210
"""Four panels, two by two, stand on one screen."""
KINDS = ("input", "first", "second", "output")
"""The digits network's matrices by their place; each has its own mark."""


def moved_row(turn: float, stretch: float) -> np.ndarray:
    """The frozen row, turned by `turn` degrees and `stretch` times as long: `m · v / ‖v‖` as DoRA computes it.

    >>> moved_row(0, 2).tolist()
    [2.8, 1.0]
    """
    angle = math.radians(turn)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return stretch * rotation @ START


def look_of(method: str) -> tuple[str, str]:
    """Name and colour of a panel; "random" is the update that nobody trained."""
    if method == "random":
        return "Random update", RANDOM
    return METHODS[method].label, METHOD_STYLES[method].color


def moves_chart(frame: Table, method: str, highest: tuple[float, float], labels: tuple[str, str]) -> Chart:
    """ΔM against ΔD of one method: a mark for each place in the network, later checkpoints darker.

    Args:
        frame: columns matrix, kind, checkpoint (0 to 1), turn, length.
        highest: ends of both axes, the same for every panel.
        labels: of the axes.
    """
    return Chart(_moves, (method, *highest, *labels), {"moves": frame})


def _moves(method: str, widest: float, highest: float, turn: str, length: str) -> Spec:
    told = {"matrix": "matrix", "checkpoint": ("of the run", ".0%"), "turn": (turn, ".4g"), "length": (length, ".4g")}
    shapes = by_value(dict(zip(KINDS, ("circle", "square", "triangle-up", "diamond"), strict=True)))
    return {
        "description": f"{length} against {turn} of each matrix and checkpoint; later ones are darker.",
        "height": PANEL_HEIGHT,
        "data": {"name": "moves"},
        "params": [zoom("x", "y")],
        "mark": {"type": "point", "size": 75, "filled": True, "color": look_of(method)[1], "clip": True},
        "encoding": {
            "x": number("turn", turn, scale={"domain": [0, widest]}, axis={"tickCount": 2}),
            "y": number("length", length, scale={"domain": [0, highest]}, axis={"tickCount": 5}),
            "shape": name("kind", scale=shapes, legend=None),
            "opacity": number("checkpoint", scale={"domain": [0, 1], "range": [0.12, 1]}, legend=None),
            "tooltip": tells(**told),
        },
    }


def neurons_chart(frame: Table, method: str, limits: tuple[float, float, float]) -> Chart:
    """Each neuron's relative change of length against its turn, with the curve of rows that only turn at right angles.

    Args:
        frame: columns turn (1 − cos) and length (Δm / m).
        limits: largest turn, lowest and highest length of the axes, the same for every panel.
    """
    turns = np.linspace(0, min(0.95, limits[0]), 60)
    curve = [
        {"turn": turn, "length": length}
        for turn, length in zip(turns.tolist(), pure_turning(turns).tolist(), strict=True)
    ]
    return Chart(_neurons, (method, *limits), {"neurons": frame, "turning": curve})


def _neurons(method: str, widest: float, lowest: float, highest: float) -> Spec:
    x = number("turn", "1 − cos θ", scale={"domain": [0, widest]}, axis={"tickCount": 2})
    y = number("length", "Δm / m", scale={"domain": [lowest, highest]}, axis={"tickCount": 5})
    told = tells(turn=("1 − cos θ", ".4g"), length=("Δm / m", "+.4g"))
    dot = {"type": "circle", "size": 16, "opacity": 0.5, "color": look_of(method)[1], "clip": True}
    line = {"type": "line", "color": METHOD_STYLES["full"].color, "strokeDash": [5, 3], "clip": True}
    return {
        "description": "Each neuron's relative change of length against its turn; dashed: rows that only turn.",
        "height": PANEL_HEIGHT,
        "layer": [
            layer("neurons", dot, params=[zoom("x", "y")], x=x, y=y, tooltip=told),
            layer("turning", line, x=x, y=y, tooltip=told),
        ],
    }


def knock_out_chart(frame: pd.DataFrame) -> Chart:
    """Loss left over against rank, LoRA and DoRA.

    Args:
        frame: columns method (label), rank, loss (mean over seeds).
    """
    return Chart(_knock_out, tuple(sorted({int(rank) for rank in frame["rank"]})), {"losses": frame})


def _knock_out(*ranks: int) -> Spec:
    scales = {what: _of_two(what) for what in ("color", "dash", "shape")}
    shared = {
        "x": number("rank", "rank", scale=LOG2, axis={"values": list(ranks), "format": "d"}),
        "y": number("loss", "relative squared error", scale={"domain": [0, 1]}),
        "opacity": faint_unless_picked(),
        "tooltip": tells(method="method", rank=("rank", "d"), loss=("relative squared error", ".3g")),
    }
    color = name("method", scale=scales["color"], legend=MARKS_ON_TOP)
    dash = name("method", scale=scales["dash"], legend=None)
    shape = name("method", scale=scales["shape"], legend=MARKS_ON_TOP)
    plain = {**color, "legend": None}
    point = {"type": "point", "size": 90, "filled": True}
    return {
        "description": "Loss left over against rank, LoRA and DoRA.",
        "height": 240,
        **ONE_LEGEND,
        "layer": [
            layer("losses", {"type": "line", "strokeWidth": 3}, **shared, color=plain, strokeDash=dash),
            layer("losses", point, params=[picked("method")], **shared, color=color, shape=shape),
        ],
    }


def _of_two(what: str) -> Spec:
    """The scale of LoRA's and DoRA's `color`, `dash` or `shape`."""
    scale, two = of_methods(what), (METHODS["lora"].label, METHODS["dora"].label)
    return by_value({label: look for label, look in zip(scale["domain"], scale["range"], strict=True) if label in two})

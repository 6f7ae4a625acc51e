"""Charts of counting: the one-matrix curves, the five methods, the way from one matrix to a real model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peftcalc.methods import METHODS
from peftcalc.plots.channels import (
    BILLIONS,
    LOG,
    LONG,
    faint_unless_picked,
    layer,
    name,
    number,
    of_methods,
    picked,
    rule_at,
    step,
    tells,
    words_at_ends,
)
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.style import METHOD_STYLES

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
Rows = Sequence[Row]
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def curve_chart(curves: Rows, here: Row, article: Rows) -> Chart:
    """Trained share against model size, a line for each rank, both axes logarithmic; the chosen rank's is bold.

    Args:
        curves: rows of total, rank, dimension, trainable, percent.
        here: the same where the page's controls stand, and its text.
        article: the same for the rows of the article's tables, which are dots.
    """
    bold = [row for row in curves if row["rank"] == here["rank"]]
    tables = {"curves": curves, "bold": bold, "article": article, "here": [here]}
    return Chart(_curve, (), tables)


def _curve() -> Spec:
    x = number("total", "Parameters of the model", scale=LOG, axis={"format": "~s", "labelExpr": BILLIONS})
    y = number("percent", "Trained, % of the model", scale=LOG, axis={"format": "~g"})
    of_rank = tells(
        total=("model", ","),
        rank=("rank", "d"),
        dimension=("side of the matrix", ","),
        trainable=("trained", ","),
        percent=("% of the model", ".4g"),
    )
    scale = {"scheme": {"name": "viridis", "extent": [0.3, 0.85]}, "reverse": True, "domain": list(RANKS)}
    color = step("rank", "Rank", scale=scale, legend={"symbolType": "stroke", "symbolStrokeWidth": 3})
    bold = {"type": "line", "strokeWidth": 5}
    dots = {"type": "point", "filled": True, "size": 70, "shape": "diamond", "opacity": 1, "style": "ink"}
    words = {"type": "text", "fontSize": 15, "fontWeight": "bold", "align": "left", "dx": 10, "dy": -12}
    corner = {"x": {"value": 0}, "y": {"value": "height"}}  # no line goes there
    ring = {"type": "point", "size": 220, "strokeWidth": 3, "style": "ink"}
    description = "Trained share against model size, a line for each rank, both axes logarithmic; the chosen is bold."
    lines = layer(
        "curves",
        {"type": "line", "strokeWidth": 1.5},
        params=[picked("rank")],
        x=x,
        y=y,
        color=color,
        opacity=faint_unless_picked(),
        tooltip=of_rank,
    )
    return {
        "description": description,
        "height": 300,
        "layer": [
            lines,
            layer("bold", bold, x=x, y=y, color=color, tooltip=of_rank),
            rule_at("here", x=x),
            layer("article", dots, x=x, y=y, tooltip=of_rank),
            layer("here", ring, x=x, y=y, tooltip=of_rank),
            layer("here", words, **corner, text=name("text")),
        ],
    }


def methods_chart(rows: Rows) -> Chart:
    """Trained parameters of the five methods on one model, logarithmic, with their numbers.

    Args:
        rows: of method (label), trainable, percent, text.
    """
    lowest = max(1, min(row["trainable"] for row in rows))
    floor = 10 ** math.floor(math.log10(lowest) - 0.3)
    whole = math.log(max(row["trainable"] for row in rows) / floor)
    rows = [{**row, "floor": floor, "long": math.log(row["trainable"] / floor) > LONG * whole} for row in rows]
    return Chart(_methods, (), {"methods": rows})


def _methods() -> Spec:
    order = [kind.label for kind in METHODS.values()]
    ticks = {"format": "~s", "tickCount": 6, "labelExpr": BILLIONS}
    told = tells(method="method", trainable=("trained", ","), percent=("% of the model", ".4g"))
    x = number("floor", "Trained parameters (each step is ten times)", scale=LOG, axis=ticks)
    bars = {
        "x": x,
        "x2": {"field": "trainable"},
        "color": name("method", scale=of_methods("color"), legend=None),
        "tooltip": told,
    }
    return {
        "description": "Trained parameters of the five methods on one model, on a logarithmic axis.",
        "height": 190,
        "data": {"name": "methods"},
        "encoding": {"y": name("method", sort=order)},
        "layer": [
            {"mark": {"type": "bar", "height": {"band": 0.72}}, "encoding": bars},
            *words_at_ends({**x, "field": "trainable"}, fontWeight="bold"),
        ],
    }


def gap_chart(frame: pd.DataFrame) -> Chart:
    """From the one-matrix percentage to this model's real one, a bar for each step.

    Args:
        frame: columns step (in order), percent, text.
    """
    return Chart(_gap, (len(frame),), {"steps": frame.assign(long=frame["percent"] > LONG * frame["percent"].max())})


def _gap(steps: int) -> Spec:
    told = tells(step="step", percent=("% of the model", ".5g"))
    x = number("percent", "Trained, % of the model")
    bar = {"type": "bar", "height": {"band": 0.6}, "color": METHOD_STYLES["lora"].color}
    return {
        "description": "From the one-matrix percentage to this model's real one, a bar for each step.",
        "height": 36 * steps + 30,
        "data": {"name": "steps"},
        "encoding": {"y": name("step", sort=None, axis={"labelLimit": {"expr": "width < 400 ? 130 : 320"}})},
        "layer": [
            {"mark": bar, "encoding": {"x": x, "tooltip": told}},
            *words_at_ends(x),
        ],
    }

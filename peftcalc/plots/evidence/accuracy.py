"""Predicted against measured memory, for any rows: an estimate's, a simulation's, or the traced steps of a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.plots.channels import (
    LOG,
    MARKS_ON_TOP,
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
from peftcalc.units import GIB

if TYPE_CHECKING:
    import pandas as pd


def accuracy_chart(frame: pd.DataFrame) -> Chart:
    """Predicted against measured on equal axes: on the line the prediction is exact, within the band it is 10 % off.

    Args:
        frame: columns id, source, method (label), measured (bytes), predicted (bytes), error (relative), by (such as
            "simulated").
    """
    drawn = frame.assign(x=frame["measured"] / GIB, y=frame["predicted"] / GIB)
    sizes = [*drawn["x"].tolist(), *drawn["y"].tolist()]
    ends = min(sizes) * 0.9, max(sizes) * 1.1
    line = [{"x": x, "low": 0.9 * x, "high": 1.1 * x} for x in ends]  # straight where both axes are logarithmic
    return Chart(_accuracy, ends, {"exact": line, "predictions": drawn})


def _accuracy(lowest: float, highest: float) -> Spec:
    scale = {**LOG, "domain": [lowest, highest], "nice": False}
    x, y = number("x", "GiB measured", scale=scale), number("y", "GiB predicted", scale=scale)
    told = {"id": "run", "method": "method", "by": "how", "x": ("GiB measured", ".2f"), "y": ("GiB predicted", ".2f")}
    band = {"type": "area", "opacity": 0.15, "color": "#808080", "clip": True}
    exact = {"type": "line", "strokeDash": [4, 3], "color": "#808080", "clip": True}
    points = layer(
        "predictions",
        {"type": "point", "size": 90, "filled": True, "clip": True},
        params=[picked("method"), zoom("x", "y")],
        x=x,
        y=y,
        color=name("method", scale=of_methods("color"), legend=MARKS_ON_TOP),
        shape=name("by", legend=MARKS_ON_TOP),
        opacity=faint_unless_picked(0.85),
        tooltip=tells(**told, error=("error", "+.1%"), source="source"),
    )
    return {
        "description": "Predicted against measured memory: on the dashed line the prediction is exact.",
        "height": 380,
        "layer": [
            layer("exact", band, x=x, y={**y, "field": "low"}, y2={"field": "high"}),
            layer("exact", exact, x=x, y={**y, "field": "x"}),
            points,
        ],
    }

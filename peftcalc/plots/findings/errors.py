"""What rounding to four bits does to a weight, beside the size of the update that was merged into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peftcalc.plots.channels import MARKS_ON_TOP, by_value, faint_unless_picked, layer, name, number, picked, tells
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.findings.intervals import COLORS, SHAPES


def errors_chart(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """A mark for each layer and format: how large the update is, and how large the error of rounding the sum.

    Args:
        rows: layer, kind (the format), update, error (both relative to the weight), seeds.
    """
    largest = max([float(row[key]) for row in rows for key in ("update", "error")], default=1.0)
    line = [{"update": end, "error": end} for end in (0.0, largest)]
    kinds = tuple(dict.fromkeys(str(row["kind"]) for row in rows))
    return Chart(_errors, kinds, {"layers": rows, "equal": line})


def _errors(*kinds: str) -> Spec:
    percent = {"format": ".0%", "tickCount": 5}
    x = number("update", "size of the update, of the weight's", axis=percent)
    y = number("error", "error of rounding the sum", axis=percent)
    color = name("kind", scale=by_value(dict(zip(kinds, COLORS, strict=False))), sort=None, legend=MARKS_ON_TOP)
    shape = name("kind", scale=by_value(dict(zip(kinds, SHAPES, strict=False))), sort=None, legend=MARKS_ON_TOP)
    told = tells(layer="layer", kind="format", update=("update", ".2%"), error=("error", ".2%"), seeds=("seeds", "d"))
    mark = {"type": "point", "size": 60, "filled": True}
    dashed = {"type": "line", "strokeDash": [4, 3], "style": "ink", "opacity": 0.7}
    looks = {"color": color, "shape": shape, "opacity": faint_unless_picked(0.85), "tooltip": told}
    return {
        "description": "Error of rounding to four bits over the size of the merged update, a mark for each layer.",
        "height": 230,
        "layer": [
            layer("equal", dashed, x=x, y=y),
            layer("layers", mark, [picked("kind")], x=x, y=y, **looks),
        ],
    }

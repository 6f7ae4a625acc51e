"""How far the estimate of memory is off, row by row: a strip for each card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftcalc.plots.channels import MARKS_ON_TOP, faint_unless_picked, layer, name, number, of_methods, picked, tells
from peftcalc.plots.chart import Chart, Spec
from peftcalc.units import gib

if TYPE_CHECKING:
    from peftcalc.evidence.rows import EvidenceRow

FUSED, WRITTEN_OUT = "fused", "written out"


def errors_chart(rows: Sequence[EvidenceRow]) -> Chart:
    """A mark for each measured row at its error; rows that calibrated something are hollow.

    Args:
        rows: in any order; cards stand in the order of their first row.
    """
    drawn = [
        {
            "id": row.id,
            "card": row.card + (f" × {row.gpus}" if row.gpus > 1 else ""),
            "method": row.method,
            "attention": WRITTEN_OUT if row.attention == "eager" else FUSED,
            "error": row.error_percent / 100,
            "place": index % 5,
            "measured": gib(row.measured_bytes),
            "estimated": gib(row.estimated_bytes),
            "filled": 0.0 if row.used_for_calibration else 0.75,
            "model": row.model,
        }
        for index, row in enumerate(rows)
    ]
    return Chart(_errors, (len({row["card"] for row in drawn}),), {"rows": drawn, "exact": [{"error": 0.0}]})


def _errors(cards: int) -> Spec:
    told = {"card": "card", "model": "model", "method": "method", "attention": "attention", "measured": "measured"}
    x = number("error", "estimate against measurement", axis={"format": "+.1~%", "tickCount": 7})
    y = name("card", sort=None, axis={"labelFontSize": 13, "labelLimit": 160})
    points = layer(
        "rows",
        {"type": "point", "size": 90, "strokeWidth": 1.5},
        params=[picked("method")],
        x=x,
        y=y,
        yOffset={"field": "place", "type": "ordinal", "scale": {"paddingOuter": 1}},
        color=name("method", scale=of_methods("color"), legend=MARKS_ON_TOP),
        shape=name("attention", "attention", scale=SHAPES, legend={**MARKS_ON_TOP, **_GREY}),
        opacity=faint_unless_picked(0.9),
        fill=name("method", scale=of_methods("color"), legend=None),
        fillOpacity={"field": "filled", "type": "quantitative", "scale": None, "legend": None},
        tooltip=tells(**told, estimated="estimated", error=("error", "+.1%")),
    )
    zero = {"type": "rule", "strokeDash": [4, 3], "style": "ink"}
    return {
        "description": "Error of the estimate for each measured row, a strip for each card.",
        "height": 46 * cards + 70,
        "layer": [layer("exact", zero, x=x), points],
    }


_GREY = {"orient": "bottom", "symbolFillColor": "#808080", "symbolStrokeColor": "#808080"}
SHAPES = {"domain": [FUSED, WRITTEN_OUT], "range": ["circle", "triangle-up"]}

"""Charts of quantization errors by format, and of the bytes of a model."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from peftcalc.plots.channels import (
    LOG,
    LONG,
    MARKS_ON_TOP,
    ONE_LEGEND,
    TOP,
    by_value,
    columns,
    faint_unless_picked,
    layer,
    name,
    number,
    picked,
    tells,
    words_at_ends,
    zoom,
)
from peftcalc.plots.chart import Chart, Spec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORMAT_COLORS = {
    "int8": "#3b76c4",
    "int4": "#c8602b",
    "int2": "#7c818a",
    "nf4": "#1d8a68",
    "fp4": "#a3549a",
    "mxfp4": "#a8841f",
}
"""One colour for each format, whatever its scales."""
CODE_POINT_COLOR = "#c2405a"
BIT_COLORS = {"sign": "#c2405a", "exponent": "#a07a08", "fraction": "#3b76c4"}
"""The three parts of a stored number."""
BYTE_COLORS = {"codes": "#3b76c4", "scales": "#c8602b", "not quantized, 16 bits": "#7c818a"}
"""What the bytes of a model hold."""


NAMED_BLOCKS = ("16", "64")
"""Block sizes that are written at the line of the trade-off: those between stand too close."""
WIDE_LABELS = {"labelLimit": 260}


def normalised_chart(places: np.ndarray, shares: np.ndarray, codes: np.ndarray, family: str, highest: float) -> Chart:
    """Numbers divided by the scale of their group, and the codes they can become: one of several small multiples.

    Args:
        places, shares: middles of the bins on [−1, 1], and per cent of the numbers in each.
        codes: the code points.
        family: the format, for the colour.
        highest: end of the vertical axis, the same for all of them.
    """
    pairs = zip(places.tolist(), shares.tolist(), strict=True)
    bins = [{"place": place, "share": share} for place, share in pairs]
    points = [{"place": place, "share": -0.05 * highest} for place in codes.tolist()]
    return Chart(_normalised, (family, highest, len(points) < 100), {"bins": bins, "codes": points})


def _normalised(family: str, highest: float, few: bool) -> Spec:
    x = number("place", "number / scale", scale={"domain": [-1, 1]})
    y = number("share", "% of numbers", scale={"domain": [-0.08 * highest, highest], "nice": False})
    area = {"type": "area", "interpolate": "step", "opacity": 0.75, "color": FORMAT_COLORS[family]}
    tick = {"type": "tick", "thickness": 2 if few else 0.6, "color": CODE_POINT_COLOR, "size": 12}
    told = tells(place=("number / scale", ".4f"), share=("% of numbers", ".3g"))
    return {
        "description": f"A histogram of the normalised numbers and the code points of {family}.",
        "height": 190,
        "layer": [
            layer("bins", area, x=x, y=y, tooltip=told),
            layer("codes", tick, x=x, y=y, tooltip=tells(place=("code point", ".4f"))),
        ],
    }


def trade_off_chart(curve: pd.DataFrame, here: pd.DataFrame) -> Chart:
    """Error against bits a number, a line for each format through its block sizes; the chosen ones are ringed.

    Args:
        curve: columns variant, format, block ("64" or "tensor"), bits, rmse.
        here: the same columns, for the chosen block size.
    """
    points = curve.to_dict("records")
    line = next((one["variant"] for one, next_one in pairwise(points) if one["variant"] == next_one["variant"]), None)
    named = [point for point in points if point["variant"] == line and point["block"] in NAMED_BLOCKS]
    return Chart(_trade_off, _variants(curve), {"curve": curve, "here": here, "named": named})


def _trade_off(*variants: tuple[str, str]) -> Spec:
    shared = {
        "x": number("bits", "Bits a number, scales included", scale={"zero": False}),
        "y": number("rmse", "RMSE", scale=LOG, axis={"format": "~g"}),
    }
    told = {"variant": "format", "block": "numbers a scale", "bits": ("bits a number", ".4f"), "rmse": ("RMSE", ".4g")}
    color, told = _variant_color(variants, MARKS_ON_TOP), tells(**told)
    faint = {"opacity": faint_unless_picked(), "tooltip": told}
    dash = name("variant", scale=_variant_dashes(variants), legend=None)
    plain = {**color, "legend": None}
    ring = {"type": "point", "size": 220, "strokeWidth": 3}
    dot = {"type": "point", "size": 45, "filled": True}
    above = {"type": "text", "dy": -12, "fontSize": 12}
    zoomed = [picked("variant"), zoom("x", "y")]
    return {
        "description": "Error against bits a number, a line for each format through its block sizes.",
        "height": 360,
        **ONE_LEGEND,
        "layer": [
            layer("curve", {"type": "line", "clip": True}, **shared, **faint, color=plain, strokeDash=dash),
            layer("curve", {**dot, "clip": True}, params=zoomed, **shared, **faint, color=color),
            layer("named", {**above, "clip": True}, **shared, text=name("block")),
            layer("here", {**ring, "clip": True}, **shared, **faint, color=plain),
        ],
    }


def ranking_chart(frame: pd.DataFrame) -> Chart:
    """RMSE of each format, the best first, with its bits.

    Args:
        frame: columns variant, format, rmse, text.
    """
    ranking = frame.assign(long=frame["rmse"] > LONG * frame["rmse"].max())
    return Chart(_ranking, (len(frame),), {"ranking": ranking})


def _ranking(rows: int) -> Spec:
    told = tells(variant="format", rmse=("RMSE", ".4g"), text="signal to noise, bits")
    x = number("rmse", "RMSE", axis={"tickCount": 6})
    color = name("format", scale=by_value(FORMAT_COLORS), legend=None)
    return {
        "description": "Root mean square error of each format, the best first, with its bits.",
        "height": 30 * rows + 40,
        "data": {"name": "ranking"},
        "encoding": {"y": name("variant", sort=None, axis=WIDE_LABELS), "tooltip": told},
        "layer": [
            {"mark": {"type": "bar", "height": {"band": 0.72}}, "encoding": {"x": x, "color": color}},
            *words_at_ends(x),
        ],
    }


def error_line_chart(frame: pd.DataFrame) -> Chart:
    """Where on the number line the squared error lies, a line for each format.

    Args:
        frame: columns variant, format, place, share (per cent of its own squared error).
    """
    return Chart(_error_line, _variants(frame), {"errors": frame})


def _error_line(*variants: tuple[str, str]) -> Spec:
    told = tells(variant="format", place=("the number", ".3g"), share=("% of the squared error", ".3g"))
    return {
        "description": "Where on the number line the squared error lies, a line for each format.",
        "height": 280,
        "data": {"name": "errors"},
        "params": [picked("variant"), zoom("x")],
        "mark": {"type": "line", "interpolate": "step", "clip": True},
        "encoding": {
            "x": number("place", "the number itself"),
            "y": number("share", "% of the squared error", stack=None),
            "color": _variant_color(variants, {**TOP, "columns": columns(4, (500, 2))}),
            "strokeDash": name("variant", scale=_variant_dashes(variants)),
            "opacity": faint_unless_picked(),
            "tooltip": told,
        },
    }


def model_chart(frame: pd.DataFrame) -> Chart:
    """Bytes of a model's weights at each format, stacked by what they hold.

    Args:
        frame: columns format, part, order, gigabytes, total, text (the total, on one part only).
    """
    bars = frame.assign(long=frame["total"] > LONG * frame["total"].max())
    return Chart(_model, (len(set(frame["format"])),), {"bytes": bars})


def _model(formats: int) -> Spec:
    color = name(
        "part",
        scale=by_value(BYTE_COLORS),
        legend={**MARKS_ON_TOP, "symbolType": "square", "columns": columns(0, (450, 2))},
    )
    x = number("gigabytes", "GB (10⁹ bytes)")
    bars = {
        "x": {**x, "stack": "zero"},
        "color": color,
        "order": number("order"),
        "opacity": faint_unless_picked(),
        "tooltip": tells(format="format", part="what", gigabytes=("GB", ".4g"), total=("GB in all", ".4g")),
    }
    return {
        "description": "Bytes of a model's weights at each format, stacked by what they hold.",
        "height": 32 * formats + 60,
        "data": {"name": "bytes"},
        "encoding": {"y": name("format", sort=None, axis=WIDE_LABELS)},
        "layer": [
            {"mark": {"type": "bar", "height": {"band": 0.72}}, "encoding": bars, "params": [picked("part")]},
            *words_at_ends({**x, "field": "total"}),
        ],
    }


def _variants(frame: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """The variants with their formats, each once, in the order of the rows."""
    return tuple(dict(zip(frame["variant"].tolist(), frame["format"].tolist(), strict=True)).items())


def _variant_color(variants: tuple[tuple[str, str], ...], legend: Spec) -> Spec:
    """The colour of a variant is its format's; variants of one format differ by their dashes."""
    scale = by_value({variant: FORMAT_COLORS[family] for variant, family in variants})
    return name("variant", scale=scale, legend=legend)


def _variant_dashes(variants: tuple[tuple[str, str], ...]) -> Spec:
    dashes = ([1, 0], [7, 3], [2, 2], [9, 2, 2, 2], [4, 2], [12, 3], [1, 2], [6, 2, 1, 2])
    return by_value({variant: dashes[place % len(dashes)] for place, (variant, _) in enumerate(variants)})

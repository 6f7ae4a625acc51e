"""Charts of quantization errors by format, and of the bytes of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peftcalc.plots.style import LIGHT, Theme

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from peftcalc.plots.style import Chart

Spec = dict[str, Any]
"""A Vega-Lite chart as plain data: ten times quicker to make than altair's objects, and redrawn at every click."""

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
BYTE_COLORS = {"codes": "#3b76c4", "scales": "#c8602b", "not quantized, 16 bits": "#7c818a"}
"""What the bytes of a model hold."""


def normalised_chart(places: np.ndarray, shares: np.ndarray, codes: np.ndarray, family: str, highest: float) -> Spec:
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
    area = {"type": "area", "interpolate": "step", "opacity": 0.75, "color": FORMAT_COLORS[family]}
    tick = {"type": "tick", "thickness": 2 if len(points) < 100 else 0.6, "color": CODE_POINT_COLOR, "size": 12}
    heights = {"domain": [-0.08 * highest, highest], "nice": False}
    return {
        "height": 190,
        "encoding": {
            "x": {"field": "place", "type": "quantitative", "title": "number / scale", "scale": {"domain": [-1, 1]}},
            "y": {"field": "share", "type": "quantitative", "title": "% of numbers", "scale": heights},
            "tooltip": [
                {"field": "place", "type": "quantitative", "format": ".4f"},
                {"field": "share", "type": "quantitative", "format": ".3g"},
            ],
        },
        "layer": [{"data": {"values": bins}, "mark": area}, {"data": {"values": points}, "mark": tick}],
    }


def trade_off_chart(curve: pd.DataFrame, here: pd.DataFrame) -> Chart:
    """Error against bits a number, a line for each format through its block sizes; the chosen ones are ringed.

    Args:
        curve: columns variant, format, block ("64" or "tensor"), bits, rmse.
        here: the same columns, for the chosen block size.
    """
    import altair as alt

    x = alt.X("bits:Q", title="Bits a number, scales included", scale=alt.Scale(zero=False))
    y = alt.Y("rmse:Q", title="RMSE", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g"))
    tooltip = [
        "variant:N",
        alt.Tooltip("block:N", title="numbers a scale"),
        alt.Tooltip("bits:Q", format=".4f"),
        alt.Tooltip("rmse:Q", format=".4g"),
    ]
    dash = alt.StrokeDash("variant:N", legend=None)
    lines = alt.Chart(curve).mark_line(point=alt.OverlayMarkDef(size=45))
    lines = lines.encode(x=x, y=y, color=_variant_color(curve), strokeDash=dash, tooltip=tooltip)
    names = (
        alt.Chart(curve).mark_text(dy=-11, fontSize=10).encode(x=x, y=y, text="block:N", color=_variant_color(curve))
    )
    rings = alt.Chart(here).mark_point(size=220, strokeWidth=3)
    rings = rings.encode(x=x, y=y, color=_variant_color(curve), tooltip=tooltip)
    return (lines + names + rings).properties(height=360)


def ranking_chart(frame: pd.DataFrame, theme: Theme = LIGHT) -> Chart:
    """RMSE of each format, the best first, with its bits.

    Args:
        frame: columns variant, format, rmse, text.
    """
    import altair as alt

    base = alt.Chart(frame).encode(y=alt.Y("variant:N", sort=list(frame["variant"]), title=None, axis=_wide_labels()))
    bars = base.mark_bar(height=17).encode(x=alt.X("rmse:Q", title="RMSE"), color=_format_color())
    labels = base.mark_text(align="left", dx=4, color=theme.text).encode(x="rmse:Q", text="text:N")
    return (bars + labels).properties(height=30 * len(frame) + 40)


def error_line_chart(frame: pd.DataFrame) -> Chart:
    """Where on the number line the squared error lies, a line for each format.

    Args:
        frame: columns variant, place, share (per cent of its own squared error).
    """
    import altair as alt

    return (
        alt.Chart(frame)
        .mark_line(interpolate="step")
        .encode(
            x=alt.X("place:Q", title="the number itself"),
            y=alt.Y("share:Q", title="% of the squared error", stack=None),
            color=_variant_color(frame),
            strokeDash=alt.StrokeDash("variant:N", legend=None),
            tooltip=["variant:N", alt.Tooltip("place:Q", format=".3g"), alt.Tooltip("share:Q", format=".3g")],
        )
        .properties(height=260)
    )


def model_chart(frame: pd.DataFrame, theme: Theme = LIGHT) -> Chart:
    """Bytes of a model's weights at each format, stacked by what they hold.

    Args:
        frame: columns format, part, order, gigabytes, text (the total, on one part only).
    """
    import altair as alt

    formats = list(dict.fromkeys(frame["format"]))
    base = alt.Chart(frame).encode(y=alt.Y("format:N", sort=formats, title=None, axis=_wide_labels()))
    colors = alt.Scale(domain=list(BYTE_COLORS), range=list(BYTE_COLORS.values()))
    bars = base.mark_bar(height=19).encode(
        x=alt.X("gigabytes:Q", title="GB (10⁹ bytes)"),
        color=alt.Color("part:N", scale=colors, title=None, legend=alt.Legend(orient="top", labelLimit=320)),
        order="order:O",
        tooltip=["format:N", "part:N", alt.Tooltip("gigabytes:Q", format=".4g")],
    )
    totals = base.transform_filter("datum.text != ''")
    labels = totals.mark_text(align="left", dx=4, color=theme.text).encode(x="total:Q", text="text:N")
    return (bars + labels).properties(height=32 * len(formats) + 60)


def _wide_labels():
    import altair as alt

    return alt.Axis(labelLimit=260)


def _format_color():
    import altair as alt

    scale = alt.Scale(domain=list(FORMAT_COLORS), range=list(FORMAT_COLORS.values()))
    return alt.Color("format:N", scale=scale, legend=None)


def _variant_color(frame: pd.DataFrame):
    """The colour of a variant is its format's; variants of one format differ by their dashes."""
    import altair as alt

    known = frame.drop_duplicates("variant")
    scale = alt.Scale(domain=list(known["variant"]), range=[FORMAT_COLORS[name] for name in known["format"]])
    return alt.Color("variant:N", scale=scale, title=None, legend=alt.Legend(orient="top", labelLimit=260, columns=3))

"""Figures of rank: the floor of a known update, spectra, scaling, loss by rank, and dropout. All are Altair charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftcalc.plots.style import METHOD_STYLES

if TYPE_CHECKING:
    import altair
    import pandas as pd

    from peftcalc.plots.style import Chart

LORA = METHOD_STYLES["lora"].color
FULL = METHOD_STYLES["full"].color
HEIGHT = 300


def _ranks(values: Sequence[int] | None = None) -> altair.X:
    """A logarithmic axis of ranks to base 2."""
    import altair as alt

    axis = alt.Axis(values=list(values) if values else alt.Undefined, format="d", grid=False)
    return alt.X("rank:Q", title="rank of the adapter", scale=alt.Scale(type="log", base=2), axis=axis)


def floor_chart(floor: pd.DataFrame, trained: pd.DataFrame) -> Chart:
    """The predicted floor as a line, what trained adapters reached as squares.

    Args:
        floor: columns rank, floor.
        trained: columns rank, loss; may be empty.
    """
    import altair as alt

    ticks = floor["rank"].tolist()
    y = alt.Y("floor:Q", title="relative squared error", scale=alt.Scale(domain=[0, 1]))
    line = alt.Chart(floor).mark_line(color=FULL, strokeWidth=3, point=False).encode(x=_ranks(ticks), y=y)
    bars = alt.Chart(floor).mark_area(color=FULL, opacity=0.15).encode(x=_ranks(ticks), y=y)
    points = (
        alt.Chart(trained)
        .mark_point(shape="square", size=90, filled=True, color=LORA)
        .encode(
            x=_ranks(ticks),
            y=alt.Y("loss:Q"),
            tooltip=[alt.Tooltip("rank:Q"), alt.Tooltip("loss:Q", format=".3g", title="trained LoRA")],
        )
    )
    return (bars + line + points).properties(height=HEIGHT)


def energy_chart(frame: pd.DataFrame, rank: int) -> Chart:
    """Share of each update's energy within rank r: one thin line a matrix, the median thick, random matrices dashed.

    Args:
        frame: columns matrix, kind ("trained", "median", "random"), rank, share (0 to 1).
        rank: where the page's control stands.
    """
    import altair as alt
    import pandas as pd

    def lines(kind: str, **look) -> Chart:
        return (
            alt.Chart(frame[frame["kind"] == kind])
            .mark_line(**look)
            .encode(
                x=_ranks(),
                y=alt.Y("share:Q", title="energy within this rank", axis=alt.Axis(format="%")),
                detail="matrix:N",
                tooltip=["matrix:N", "rank:Q", alt.Tooltip("share:Q", format=".1%")],
            )
        )

    here = alt.Chart(pd.DataFrame({"rank": [rank]})).mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x="rank:Q")
    thin = lines("trained", color=FULL, strokeWidth=1, opacity=0.45)
    thick = lines("median", color=FULL, strokeWidth=4)
    random = lines("random", color="#b6539d", strokeWidth=3, strokeDash=[3, 3])
    return (thin + random + thick + here).properties(height=HEIGHT)


def scaling_chart(frame: pd.DataFrame, rank: int) -> Chart:
    """Scaling factors over rank, both axes logarithmic; a rule at the control's rank.

    Args:
        frame: columns rule ("α / r", "α / √r", "α = 2r"), rank, scaling.
    """
    import altair as alt
    import pandas as pd

    rules = ["α / r", "α / √r", "α = 2r"]
    lines = (
        alt.Chart(frame)
        .mark_line(strokeWidth=3, point=True)
        .encode(
            x=_ranks(),
            y=alt.Y("scaling:Q", title="scaling s", scale=alt.Scale(type="log", base=2), axis=alt.Axis(format="~g")),
            color=alt.Color(
                "rule:N",
                title=None,
                scale=alt.Scale(domain=rules, range=[LORA, "#168f74", FULL]),
                legend=alt.Legend(orient="top", symbolType="stroke"),
            ),
            strokeDash=alt.StrokeDash("rule:N", scale=alt.Scale(domain=rules, range=[[1, 0], [7, 2], [2, 2]])),
            tooltip=["rule:N", "rank:Q", alt.Tooltip("scaling:Q", format=".4g")],
        )
    )
    here = alt.Chart(pd.DataFrame({"rank": [rank]})).mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x="rank:Q")
    return (lines + here).properties(height=HEIGHT)


def loss_chart(frame: pd.DataFrame, full: float, unit: str) -> Chart:
    """Held-out loss by rank with intervals over seeds; full fine-tuning as a dotted level.

    Args:
        frame: columns rank, mean, low, high.
        full: mean held-out loss of full fine-tuning.
    """
    import altair as alt
    import pandas as pd

    ticks = frame["rank"].tolist()
    y = alt.Y("mean:Q", title=f"held-out loss ({unit})", scale=alt.Scale(zero=False))
    base = alt.Chart(frame).encode(x=_ranks(ticks))
    line = base.mark_line(color=LORA, strokeWidth=3, strokeDash=[7, 2]).encode(y=y)
    marks = base.mark_point(shape="square", size=80, filled=True, color=LORA).encode(
        y=y, tooltip=["rank:Q", alt.Tooltip("mean:Q", format=".4f"), alt.Tooltip("low:Q"), alt.Tooltip("high:Q")]
    )
    spread = base.mark_rule(color=LORA, strokeWidth=2).encode(y="low:Q", y2="high:Q")
    level = alt.Chart(pd.DataFrame({"mean": [full]})).mark_rule(color=FULL, strokeWidth=2, strokeDash=[2, 3])
    return (spread + line + marks + level.encode(y="mean:Q")).properties(height=HEIGHT)


def dropout_chart(frame: pd.DataFrame, highest: float) -> Chart:
    """Training and held-out loss by step for one rate of dropout; a common height lets charts stand side by side.

    Args:
        frame: columns curve ("training", "held out"), step, loss.
        highest: top of the vertical axis, the same for every rate.
    """
    import altair as alt

    curves = ["training", "held out"]
    return (
        alt.Chart(frame)
        .mark_line(strokeWidth=3, point=alt.OverlayMarkDef(size=40), clip=True)
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("loss:Q", title="nats a character", scale=alt.Scale(domain=[0, highest])),
            color=alt.Color(
                "curve:N",
                title=None,
                scale=alt.Scale(domain=curves, range=[LORA, "#d55e1f"]),
                legend=alt.Legend(orient="top", symbolType="stroke"),
            ),
            strokeDash=alt.StrokeDash("curve:N", scale=alt.Scale(domain=curves, range=[[4, 3], [1, 0]])),
            tooltip=["curve:N", "step:Q", alt.Tooltip("loss:Q", format=".3f")],
        )
        .properties(height=260)
    )

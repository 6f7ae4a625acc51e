"""What an adapter has learned, drawn: the size of every update by depth, and the energy within a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from peftcalc.plots.style import Chart


def updates_chart(frame: pd.DataFrame) -> Chart:
    """The norm of each update against its layer's number, a mark for each module.

    Args:
        frame: columns layer, name (last part of the module's name), module, norm, effective_rank, rank.
    """
    import altair as alt

    return (
        alt.Chart(frame)
        .mark_point(filled=True, size=45)
        .encode(
            x=alt.X("layer:Q", title="Layer", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("norm:Q", title="‖s · B A‖", scale=alt.Scale(zero=True)),
            color=alt.Color("name:N", title="Module", scale=alt.Scale(scheme="tableau10")),
            shape=alt.Shape("name:N", title="Module"),
            tooltip=[
                alt.Tooltip("module:N"),
                alt.Tooltip("norm:Q", format=".4g"),
                alt.Tooltip("effective_rank:Q", title="effective rank", format=".3g"),
                alt.Tooltip("rank:Q", title="r"),
            ],
        )
        .properties(height=300)
    )


def energy_chart(frame: pd.DataFrame, rank: int) -> Chart:
    """Share of the energy that is kept at each rank, a line for each module name; a rule at `rank`.

    Args:
        frame: columns rank, name, percent.
        rank: at which the page's control stands.
    """
    import altair as alt
    import pandas as pd

    lines = (
        alt.Chart(frame)
        .mark_line(point=True)
        .encode(
            x=alt.X("rank:Q", title="Cut to rank", scale=alt.Scale(type="log", base=2), axis=alt.Axis(format="d")),
            y=alt.Y("percent:Q", title="Energy kept, %", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color("name:N", title="Module", scale=alt.Scale(scheme="tableau10")),
            strokeDash=alt.StrokeDash("name:N", title="Module"),
            tooltip=["name:N", alt.Tooltip("rank:Q"), alt.Tooltip("percent:Q", format=".4g")],
        )
    )
    here = alt.Chart(pd.DataFrame({"rank": [rank]})).mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x="rank:Q")
    return (lines + here).properties(height=300)

"""Figures of memory: bars beside a card, the course of a step, what fits where, predicted against measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from peftcalc.memory.records import PARTS, PHASES, MemoryBreakdown, MemoryTrace
from peftcalc.plots.style import color_scale
from peftcalc.units import GIB, gib

if TYPE_CHECKING:
    import altair
    import pandas as pd

    from peftcalc.plots.style import Chart

PART_COLORS = {
    "base_weights": "#6f7b8d",
    "quantization_constants": "#b9bfca",
    "adapters": "#2f7ed8",
    "gradients": "#e0a100",
    "optimizer_states": "#d55e1f",
    "saved_activations": "#168f74",
    "logits_and_loss": "#b6539d",
    "temporary_buffers": "#7a5a3a",
}
"""One colour a part, in every figure of memory."""

VERDICT_COLORS = {"fits": "#168f74", "tight": "#e0a100", "does not fit": "#c0392b"}


def breakdown_rows(breakdowns: Mapping[str, MemoryBreakdown]) -> pd.DataFrame:
    """One row a bar and part: bar, part, bytes, gib, text, order."""
    import pandas as pd

    rows = [
        {"bar": label, "part": words, "bytes": size, "gib": size / GIB, "text": gib(size), "order": place}
        for label, breakdown in breakdowns.items()
        for place, (part, words) in enumerate(PARTS.items())
        for size in (getattr(breakdown, part),)
    ]
    return pd.DataFrame(rows)


def bars_chart(
    breakdowns: Mapping[str, MemoryBreakdown], usable: int | None = None, card: str = "", reserve: int = 0
) -> Chart:
    """A stacked bar for each method, and the line of what the card can use.

    Args:
        breakdowns: by the label of the bar, in the order in which they are drawn.
        usable: bytes that the card can use; no line without it.
        card: the card's name, written at the line.
        reserve: bytes that the allocator and the CUDA context need beside: the line stands that much to the left.
    """
    import altair as alt
    import pandas as pd

    frame = breakdown_rows(breakdowns)
    order = list(breakdowns)
    bars = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("sum(gib):Q", title="GiB allocated at the peak"),
            y=alt.Y("bar:N", sort=order, title=None, axis=alt.Axis(labelFontSize=14)),
            color=alt.Color("part:N", scale=part_scale(), title=None, legend=alt.Legend(orient="bottom", columns=2)),
            order=alt.Order("order:Q"),
            tooltip=["bar:N", "part:N", "text:N", alt.Tooltip("bytes:Q", format=",")],
        )
    )
    totals = pd.DataFrame({"bar": order, "gib": [b.total / GIB for b in breakdowns.values()]})
    totals["text"] = [gib(b.total) for b in breakdowns.values()]
    ends = (
        alt.Chart(totals)
        .mark_text(align="left", dx=5, fontSize=13)
        .encode(x="gib:Q", y=alt.Y("bar:N", sort=order), text="text:N")
    )
    layers: list[Any] = [bars, ends]
    if usable is not None:
        layers += _card_line((usable - reserve) / GIB, card)
    room_for_the_card = {"top": 22, "left": 5, "right": 5, "bottom": 5}
    return alt.layer(*layers).properties(height=46 * len(order) + 130, padding=room_for_the_card)


def _card_line(place: float, card: str) -> list[Any]:
    """A dashed line and the card's name above it."""
    import altair as alt
    import pandas as pd

    data = pd.DataFrame({"gib": [place], "card": [card]})
    rule = alt.Chart(data).mark_rule(strokeDash=[6, 4], strokeWidth=2, color="#c0392b").encode(x="gib:Q")
    name = alt.Chart(data).mark_text(baseline="bottom", color="#c0392b", fontSize=13)
    return [rule, name.encode(x="gib:Q", y=alt.value(-4), text="card:N")]


def part_scale() -> altair.Scale:
    """Altair's colour scale from the words of the parts to their colours."""
    import altair as alt

    return alt.Scale(domain=list(PARTS.values()), range=[PART_COLORS[part] for part in PARTS])


def timeline_rows(trace: MemoryTrace) -> pd.DataFrame:
    """One row a point and part that is there: point, phase, operator, part, gib, order."""
    import pandas as pd

    rows = [
        {
            "point": index,
            "phase": point.phase,
            "operator": point.operator,
            "part": words,
            "gib": getattr(point.breakdown, part) / GIB,
            "order": place,
        }
        for index, point in enumerate(trace.timeline)
        for place, (part, words) in enumerate(PARTS.items())
    ]
    return pd.DataFrame(rows)


def timeline_chart(trace: MemoryTrace, most: int = 400) -> Chart:
    """The bytes of each part over the operators of one step, with the peak marked and the phases named.

    Args:
        trace: a simulation's result.
        most: points that are drawn; the highest of each stretch is kept.
    """
    import altair as alt
    import pandas as pd

    frame = timeline_rows(trace)
    frame = frame[frame["point"].isin(trace.telling_points(most))]
    room = alt.Scale(domain=[0, 1.2 * trace.peak / GIB], nice=False)  # above: the peak's label, the phases' names
    area = (
        alt.Chart(frame)
        .mark_area(interpolate="step-after")
        .encode(
            x=alt.X("point:Q", title="operators of one step, in order", axis=alt.Axis(labels=False, ticks=False)),
            y=alt.Y("gib:Q", stack="zero", title="GiB allocated", scale=room),
            color=alt.Color("part:N", scale=part_scale(), title=None, legend=alt.Legend(orient="bottom", columns=2)),
            order=alt.Order("order:Q"),
            tooltip=["phase:N", "operator:N", "part:N", alt.Tooltip("gib:Q", format=".2f")],
        )
    )
    highest = max(range(len(trace.timeline)), key=lambda index: trace.timeline[index].allocated_bytes)
    peak = pd.DataFrame({"point": [highest], "gib": [trace.peak / GIB], "text": [f"peak {gib(trace.peak)}"]})
    mark = alt.Chart(peak).mark_point(size=120, filled=True, color="#c0392b").encode(x="point:Q", y="gib:Q")
    right = highest < len(trace.timeline) / 2
    label = alt.Chart(peak).mark_text(align="left" if right else "right", dx=9 if right else -9, dy=-9, fontSize=14)
    starts = [(phase, _first(trace, phase)) for phase in PHASES]
    borders = pd.DataFrame([{"point": place, "phase": phase} for phase, place in starts if place is not None])
    rules = alt.Chart(borders).mark_rule(strokeDash=[3, 3], opacity=0.6).encode(x="point:Q")
    names = (
        alt.Chart(borders)
        .mark_text(align="left", dx=4, fontSize=13)
        .encode(x="point:Q", y=alt.value(8), text="phase:N")
    )
    return alt.layer(area, rules, names, mark, label.encode(x="point:Q", y="gib:Q", text="text:N")).properties(
        height=380
    )


def _first(trace: MemoryTrace, phase: str) -> int | None:
    """Index of the first point of a phase; None where the phase has none."""
    return next((index for index, point in enumerate(trace.timeline) if point.phase == phase), None)


def fit_chart(frame: pd.DataFrame) -> Chart:
    """The fit matrix: a tile for each card and method, coloured by the verdict, with the bytes that are needed.

    Args:
        frame: columns gpu, method (label), verdict ("fits", "tight", "does not fit"), needed (bytes), usable (bytes),
            largest_batch, largest_sequence; drawn in the order of its rows.
    """
    import altair as alt

    drawn = frame.assign(text=[gib(size) for size in frame["needed"]], free=[gib(size) for size in frame["usable"]])
    base = alt.Chart(drawn).encode(
        x=alt.X(
            "method:N", sort=list(dict.fromkeys(frame["method"])), title=None, axis=alt.Axis(orient="top", labelAngle=0)
        ),
        y=alt.Y("gpu:N", sort=list(dict.fromkeys(frame["gpu"])), title=None, axis=alt.Axis(labelOverlap=False)),
    )
    verdicts = alt.Scale(domain=list(VERDICT_COLORS), range=list(VERDICT_COLORS.values()))
    tiles = base.mark_rect(cornerRadius=3, opacity=0.8).encode(
        color=alt.Color("verdict:N", scale=verdicts, title=None, legend=alt.Legend(orient="bottom")),
        tooltip=[
            "gpu:N",
            "method:N",
            "verdict:N",
            alt.Tooltip("text:N", title="needed"),
            alt.Tooltip("free:N", title="usable"),
            alt.Tooltip("largest_batch:Q", title="largest batch", format=","),
            alt.Tooltip("largest_sequence:Q", title="longest sequence", format=","),
        ],
    )
    ink = alt.condition("datum.verdict == 'tight'", alt.value("#1a1a1a"), alt.value("#ffffff"))  # on yellow
    words = base.mark_text(fontSize=12).encode(text="text:N", color=ink)
    return alt.layer(tiles, words).properties(height=28 * frame["gpu"].nunique() + 90)


def accuracy_chart(frame: pd.DataFrame) -> Chart:
    """Predicted against measured on equal axes: on the line the prediction is exact, within the band it is 10 % off.

    Args:
        frame: columns id, source, method (label), measured (bytes), predicted (bytes), error (relative), by (such as
            "simulated").
    """
    import altair as alt
    import numpy as np
    import pandas as pd

    drawn = frame.assign(x=frame["measured"] / GIB, y=frame["predicted"] / GIB)
    sizes = [*drawn["x"].tolist(), *drawn["y"].tolist()]
    ends = (min(sizes) * 0.9, max(sizes) * 1.1)
    line = pd.DataFrame({"x": np.geomspace(*ends, 40)}).assign(low=lambda d: d["x"] * 0.9, high=lambda d: d["x"] * 1.1)
    scale = alt.Scale(type="log", domain=list(ends))
    band = (
        alt.Chart(line)
        .mark_area(opacity=0.15, color="#808080")
        .encode(
            x=alt.X("x:Q", scale=scale, title="GiB measured"),
            y=alt.Y("low:Q", scale=scale, title="GiB predicted"),
            y2="high:Q",
        )
    )
    exact = alt.Chart(line).mark_line(strokeDash=[4, 3], color="#808080").encode(x="x:Q", y=alt.Y("x:Q", scale=scale))
    points = (
        alt.Chart(drawn)
        .mark_point(size=90, filled=True, opacity=0.85)
        .encode(
            x=alt.X("x:Q", scale=scale),
            y=alt.Y("y:Q", scale=scale),
            color=alt.Color("method:N", scale=color_scale(), title=None),
            shape=alt.Shape("by:N", title=None),
            tooltip=["id:N", "by:N", alt.Tooltip("error:Q", format="+.1%"), "source:N"],
        )
    )
    return alt.layer(band, exact, points).properties(height=380)


def serving_chart(table: pd.DataFrame) -> Chart:
    """Memory of one base with N adapters against N whole models, as N grows; both axes in factors.

    Args:
        table: what `peftcalc.memory.serving.serving_table` returns.
    """
    import altair as alt

    names = {"adapted_memory": "one base, N adapters", "full_memory": "N whole models"}
    long = table.reset_index().melt("tasks", list(names), "kind", "bytes")
    long = long.assign(
        kind=[names[kind] for kind in long["kind"]], gib=long["bytes"] / GIB, text=[gib(size) for size in long["bytes"]]
    )
    return (
        alt.Chart(long)
        .mark_line(point=True, strokeWidth=3)
        .encode(
            x=alt.X("tasks:Q", scale=alt.Scale(type="log"), title="tasks served"),
            y=alt.Y("gib:Q", scale=alt.Scale(type="log"), title="GiB of weights"),
            color=alt.Color(
                "kind:N", title=None, scale=alt.Scale(domain=list(names.values()), range=["#2f7ed8", "#808080"])
            ),
            tooltip=[alt.Tooltip("tasks:Q", format=","), "kind:N", "text:N"],
        )
        .properties(height=300)
    )

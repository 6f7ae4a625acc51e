"""Figures of memory: bars beside a card, and the course of a step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from peftcalc.memory.records import PARTS, PHASES, MemoryBreakdown, MemoryTrace
from peftcalc.plots.channels import (
    by_value,
    columns,
    faint_unless_picked,
    layer,
    name,
    number,
    picked,
    tells,
    zoom,
)
from peftcalc.plots.chart import Chart, Spec
from peftcalc.units import GIB, gib

if TYPE_CHECKING:
    import pandas as pd

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

PLAIN = {
    "base_weights": "the model itself",
    "quantization_constants": "4-bit scales",
    "adapters": "small trained matrices",
    "gradients": "which way to move",
    "optimizer_states": "gradients averaged",
    "saved_activations": "needed again",
    "logits_and_loss": "the guesses, scored",
    "temporary_buffers": "room to work in",
}
"""What a part is, for who does not know its name; with it no longer than a telephone's line."""

MARKS = {"fits": "✓", "tight": "≈", "does not fit": "✗"}
"""Of a verdict, for those who do not see its colour."""
TRAINS = {
    "Full": "every number of the model",
    "LoRA": "small matrices beside a frozen model",
    "DoRA": "small matrices and a length for each row, beside a frozen model",
    "QLoRA": "small matrices beside a frozen model in four bits",
    "QDoRA": "small matrices and a length for each row, beside a frozen model in four bits",
}
"""What a method trains, by its label, in plain words: what pointing at its bar tells."""
VERDICT_COLORS = {"fits": "#168f74", "tight": "#e0a100", "does not fit": "#d9483b"}


CARD_LINE: Spec = {"type": "rule", "strokeDash": [6, 4], "strokeWidth": 2, "color": VERDICT_COLORS["does not fit"]}
CARD_NAME: Spec = {
    "type": "text",
    "baseline": "bottom",
    "fontSize": 14,
    "fontWeight": 600,
    "color": VERDICT_COLORS["does not fit"],
}
"""The line of what a card leaves, and its name above."""
_LINES = "split(datum.label, '\\n')"
TOLD_COLORS = {"✓": "#168f74", "≈": "#b37f00", "✗": "#d9483b"}
"""Of a verdict's mark and words."""
_VERDICTS = [{"test": f"indexof(datum.value, '{mark}') >= 0", "value": color} for mark, color in TOLD_COLORS.items()]
BAR_NAMES: Spec = {
    "labelFontSize": 13,
    "labelLimit": 220,
    "labelExpr": _LINES,
    "labelLineHeight": 16,
    "labelOverlap": False,
    "labelOffset": -8,
    "labelColor": {"condition": _VERDICTS, "value": "#808080"},
}
"""An axis of names, which have a second line."""
ONE_LINE: Spec = {"labelFontSize": 13, "labelLimit": 220}


def breakdown_rows(breakdowns: Mapping[str, MemoryBreakdown]) -> pd.DataFrame:
    """One row a bar and part: bar, part, bytes, gib, text, order."""
    import pandas as pd

    return pd.DataFrame(_breakdown_rows(breakdowns))


def _breakdown_rows(breakdowns: Mapping[str, MemoryBreakdown]) -> list[dict[str, Any]]:
    return [
        {"bar": label, "part": words, "bytes": size, "gib": size / GIB, "text": gib(size), "order": place}
        for label, breakdown in breakdowns.items()
        for place, (part, words) in enumerate(PARTS.items())
        for size in (getattr(breakdown, part),)
    ]


def bars_chart(
    breakdowns: Mapping[str, MemoryBreakdown],
    usable: int | None = None,
    card: str = "",
    reserve: int = 0,
    below: Mapping[str, str] | None = None,
) -> Chart:
    """A stacked bar for each method with its total, and the line of what the card can use.

    Args:
        breakdowns: by the label of the bar, in the order in which they are drawn.
        usable: bytes that the card can use; no line without it.
        card: the card's name, written at the line.
        reserve: bytes that the allocator and the CUDA context need beside: the line stands that much to the left.
        below: a second line under a bar's name, such as its verdict.
    """
    named = {label: f"{label} · {gib(one.total)}" for label, one in breakdowns.items()}
    named = {label: "\n".join(filter(None, (text, (below or {}).get(label)))) for label, text in named.items()}
    told = {label: {"named": text, "trains": TRAINS.get(label)} for label, text in named.items()}
    rows = [{**row, **told[row["bar"]]} for row in _breakdown_rows(breakdowns)]
    room = ((usable or 0) - reserve) / GIB
    card_line = [] if usable is None else [{"gib": room, "card": card, "room": f"{card}: {room:.1f} GiB to use"}]
    return Chart(_bars, (usable is not None, bool(below)), {"parts": rows, "card": card_line})


def _bars(with_card: bool, two_lines: bool) -> Spec:
    told = {"bar": "method", "trains": "trains", "part": "what", "text": "size", "bytes": ("bytes", ",")}
    x = number("gib", "GPU memory at the peak, GiB")
    encoding = {
        "x": {**x, "stack": "zero"},
        "y": name("named", sort=None, axis=BAR_NAMES if two_lines else ONE_LINE),
        **_of_parts(),
        "tooltip": tells(**told),
    }
    parts = layer("parts", {"type": "bar"}, params=[picked("part")], **encoding)
    shown = tells(card="card", gib=("GiB it leaves for the step", ".2f"))
    card = [
        layer("card", CARD_LINE, x=x, tooltip=shown),
        layer("card", CARD_NAME, x=x, y={"value": -4}, text=name("room"), tooltip=shown),
    ]
    return {
        "description": "Bytes at the peak of a training step, a stacked bar for each method.",
        "height": {"step": 36},  # whatever the legend takes: at a telephone's width it has a line for each part
        "padding": {"top": 22, "left": 5, "right": 5, "bottom": 5},  # above: the card's name
        "layer": [parts, *(card if with_card else [])],
    }


def _of_parts() -> dict[str, Spec]:
    """Colour, order and faintness of the parts, by the words for them; the legend says what each is."""
    colors = {words: PART_COLORS[part] for part, words in PARTS.items()}
    room = columns(2, (640, 1))
    plain = {words: f"{words}: {PLAIN[part]}" for part, words in PARTS.items()}
    label = f"{json.dumps(plain)}[datum.label]"
    legend = {"orient": "bottom", "columns": room, "labelLimit": 360, "symbolType": "square", "labelExpr": label}
    color = name("part", scale=by_value(colors), legend=legend)
    return {"color": color, "order": number("order"), "opacity": faint_unless_picked()}


def timeline_rows(trace: MemoryTrace) -> pd.DataFrame:
    """One row a point and part: point, phase, operator, part, gib, order."""
    import pandas as pd

    return pd.DataFrame(_timeline_rows(trace, range(len(trace.timeline))))


def _timeline_rows(trace: MemoryTrace, points: Iterable[int]) -> list[dict[str, Any]]:
    return [
        {
            "point": index,
            "phase": point.phase,
            "operator": point.operator,
            "part": words,
            "gib": getattr(point.breakdown, part) / GIB,
            "order": place,
        }
        for index in points
        for point in (trace.timeline[index],)
        for place, (part, words) in enumerate(PARTS.items())
    ]


def timeline_chart(trace: MemoryTrace, most: int = 400) -> Chart:
    """The bytes of each part over the operators of one step, with the peak marked and the phases named.

    Args:
        trace: a simulation's result.
        most: points that are drawn; the highest of each stretch is kept.
    """
    import pandas as pd

    last = len(trace.timeline) - 1
    highest = max(range(last + 1), key=lambda index: trace.timeline[index].allocated_bytes)
    words = f"peak {gib(trace.peak)}"
    peak = [{"point": highest, "gib": trace.peak / GIB, "text": words, "late": highest > last / 2}]
    starts: dict[str, int] = {}
    for place, point in enumerate(trace.timeline):
        starts.setdefault(point.phase, place)
    borders = [
        {"point": starts[phase], "phase": phase, "late": starts[phase] > 0.8 * last, "y": 8 + 17 * (row % 2)}
        for row, phase in enumerate(phase for phase in PHASES if phase in starts)
    ]
    course = pd.DataFrame(_timeline_rows(trace, trace.telling_points(most)))
    tables = {"course": course, "peak": peak, "borders": borders}
    return Chart(_timeline, (last, 1.25 * trace.peak / GIB), tables)


def _timeline(last: int, highest: float) -> Spec:
    """Above the peak there is room for its label and for the phases' names, which stand on two lines."""
    without = {"labels": False, "ticks": False, "grid": False}
    x = number("point", "operators of one step, in order", axis=without, scale={"domain": [0, last], "nice": False})
    y = number("gib", "GiB allocated", scale={"domain": [0, highest], "nice": False})
    told = {"phase": "phase", "operator": "operator", "part": "what", "gib": ("GiB", ".2f")}
    area = layer(
        "course",
        {"type": "area", "interpolate": "step-after", "clip": True},
        params=[picked("part"), zoom("x")],
        x=x,
        y={**y, "stack": "zero"},
        **_of_parts(),
        tooltip=tells(**told),
    )
    mark = {"type": "point", "size": 120, "filled": True, "opacity": 1, "color": VERDICT_COLORS["does not fit"]}
    rule = {"type": "rule", "strokeDash": [3, 3], "opacity": 0.6}
    return {
        "description": "Bytes of each part over the operators of one training step; the peak is marked.",
        "height": 380,
        "layer": [
            area,
            layer("borders", rule, x=x, tooltip=tells(phase="phase")),
            *_words_beside("borders", {"dx": 4, "fontSize": 13}, x=x, y=number("y", scale=None), text=name("phase")),
            layer("peak", mark, x=x, y=y, tooltip=tells(text="highest")),
            *_words_beside("peak", {"dx": 9, "dy": -9, "fontSize": 14}, x=x, y=y, text=name("text")),
        ],
    }


def _words_beside(data: str, look: Spec, **encoding: Spec) -> list[Spec]:
    """Words to the right of their place, and to the left of what is marked `late`."""
    right = {"type": "text", "align": "left", **look}
    left = {**right, "align": "right", "dx": -look["dx"]}
    return [
        {**layer(data, mark, **encoding), "transform": [{"filter": condition}]}
        for condition, mark in (("!datum.late", right), ("datum.late", left))
    ]

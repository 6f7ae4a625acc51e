"""One base model with many adapters against many whole models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from peftcalc.memory.serving.records import ServingEstimate
from peftcalc.plots.channels import LOG, TOP, by_value, columns, faint_unless_picked, layer, name, number, picked, tells
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.memory import BAR_NAMES, CARD_LINE, CARD_NAME, MARKS
from peftcalc.plots.style import METHOD_STYLES
from peftcalc.units import GIB, gib

if TYPE_CHECKING:
    import pandas as pd


def serving_chart(table: pd.DataFrame) -> Chart:
    """Memory of one base with N adapters against N whole models, as N grows; both axes in factors.

    Args:
        table: what `peftcalc.memory.serving.tasks.serving_table` returns.
    """
    names = {"adapted_memory": "one base, N adapters", "full_memory": "N whole models"}
    long = table.reset_index().melt("tasks", list(names), "kind", "bytes")
    long = long.assign(
        kind=[names[kind] for kind in long["kind"]], gib=long["bytes"] / GIB, text=[gib(size) for size in long["bytes"]]
    )
    return Chart(_serving, tuple(names.values()), {"serving": long})


def _serving(adapted: str, full: str) -> Spec:
    colors = by_value({adapted: METHOD_STYLES["lora"].color, full: METHOD_STYLES["full"].color})
    return {
        "description": "Memory of one base with N adapters against N whole models, as N grows.",
        "height": 300,
        "data": {"name": "serving"},
        "params": [picked("kind")],
        "mark": {"type": "line", "point": True, "strokeWidth": 3},
        "encoding": {
            "x": number("tasks", "tasks served", scale=LOG),
            "y": number("gib", "GiB of weights", scale=LOG),
            "color": name("kind", scale=colors, legend=TOP),
            "opacity": faint_unless_picked(),
            "tooltip": tells(tasks=("tasks", ","), kind="what", text="memory"),
        },
    }


SERVED = {"weights": "weights", "adapters": "adapters", "cache": "cache of the users", "working": "pass under way"}
"""The parts of serving, and the words for them."""
SERVED_COLORS = {"weights": "#6f7b8d", "adapters": "#2f7ed8", "cache": "#168f74", "working": "#7a5a3a"}


def serving_bars_chart(estimates: Mapping[str, ServingEstimate]) -> Chart:
    """A stacked bar for each way of serving, with the line of what the card leaves for it.

    Args:
        estimates: by the words for the way, all on one card.
    """
    rows = [
        {
            "bar": f"{words}\n{gib(one.total)} · {MARKS[one.verdict]} {one.verdict}",
            "part": SERVED[part],
            "gib": getattr(one, part) / GIB,
            "text": gib(getattr(one, part)),
            "order": place,
        }
        for words, one in estimates.items()
        for place, part in enumerate(SERVED)
    ]
    one = next(iter(estimates.values()))
    allowance = one.needed.expected_bytes - one.needed.peak_bytes
    line = [{"gib": (one.usable_bytes - allowance) / GIB, "card": one.card}]
    return Chart(_serving_bars, (), {"served": rows, "card": line})


def _serving_bars() -> Spec:
    x = number("gib", "GiB while serving")
    colors = by_value({words: SERVED_COLORS[part] for part, words in SERVED.items()})
    legend = {"orient": "bottom", "columns": columns(4, (500, 1)), "symbolType": "square"}
    parts = layer(
        "served",
        {"type": "bar"},
        params=[picked("part")],
        x={**x, "stack": "zero"},
        y=name("bar", sort=None, axis=BAR_NAMES),
        color=name("part", scale=colors, legend=legend),
        order=number("order"),
        opacity=faint_unless_picked(),
        tooltip=tells(bar="way", part="what", text="size"),
    )
    shown = tells(card="card", gib=("GiB it leaves for serving", ".2f"))
    return {
        "description": "Memory of serving, adapters beside one base and merged into copies of it.",
        "height": {"step": 44},
        "padding": {"top": 22, "left": 5, "right": 5, "bottom": 5},
        "layer": [
            parts,
            layer("card", CARD_LINE, x=x, tooltip=shown),
            layer("card", CARD_NAME, x=x, y={"value": -4}, text=name("card"), tooltip=shown),
        ],
    }

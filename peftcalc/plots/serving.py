"""One base model with many adapters against many whole models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.plots.channels import LOG, TOP, by_value, faint_unless_picked, name, number, picked, tells
from peftcalc.plots.chart import Chart, Spec
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

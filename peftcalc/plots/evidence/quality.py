"""Published accuracy against what it cost in memory or time, with the runs that nothing beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peftcalc.plots.channels import MARKS_ON_TOP, faint_unless_picked, layer, name, number, picked, tells, zoom
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.style import METHOD_STYLES
from peftcalc.units import GIB, gib

if TYPE_CHECKING:
    from peftcalc.evidence.quality import QualityRun

COSTS = {"memory": ("reserved_bytes", "GiB reserved on the L40S"), "time": ("step_seconds", "seconds of all steps")}
"""What accuracy is set against: the run's field, and the axis."""


def quality_chart(runs: Sequence[QualityRun], front: set[str], cost: str, other: str) -> Chart:
    """A mark for each run; a line joins those of the front.

    Args:
        runs: of the comparison.
        front: names of the runs that no other beats in both.
        cost: a name of `COSTS`.
        other: the label of the methods that are not ours.
    """
    field, axis = COSTS[cost]
    scale = GIB if field.endswith("bytes") else 1
    drawn = [
        {
            "name": run.name.replace("/llama-3.2-3B", ""),
            "label": run.label,
            "cost": getattr(run, field) / scale,
            "accuracy": run.accuracy_percent,
            "memory": gib(run.reserved_bytes),
            "seconds": run.step_seconds,
            "forgetting": run.forgetting,
        }
        for run in runs
    ]
    names = {run.name.replace("/llama-3.2-3B", "") for run in runs if run.name in front}
    line: list[dict[str, Any]] = [row for row in drawn if row["name"] in names]
    return Chart(_quality, (axis, other), {"runs": drawn, "front": line})


def _quality(axis: str, other: str) -> Spec:
    looks = {label: METHOD_STYLES[key].color for label, key in (("LoRA", "lora"), ("DoRA", "dora"), ("Full", "full"))}
    looks[other] = "#b8a200"
    shapes = {label: METHOD_STYLES[key].shape for label, key in (("LoRA", "lora"), ("DoRA", "dora"), ("Full", "full"))}
    shapes[other] = "triangle-right"
    x = number("cost", axis, scale={"zero": False})
    y = number("accuracy", "% of GSM8K right", scale={"zero": False})
    told = {"name": "run", "label": "method", "memory": "reserved", "seconds": ("seconds of all steps", ",.0f")}
    points = layer(
        "runs",
        {"type": "point", "size": 90, "filled": True},
        params=[picked("label"), zoom("x", "y")],
        x=x,
        y=y,
        color=name("label", scale=_scale(looks), legend=MARKS_ON_TOP),
        shape=name("label", scale=_scale(shapes), legend=MARKS_ON_TOP),
        opacity=faint_unless_picked(0.9),
        tooltip=tells(**told, accuracy=("% right", ".1f"), forgetting=("forgetting, nats", ".3f")),
    )
    order = {"field": "cost", "type": "quantitative"}
    front = layer("front", {"type": "line", "strokeDash": [4, 3], "style": "ink"}, x=x, y=y, order=order)
    return {
        "description": "Accuracy against cost of published runs; a dashed line joins those that nothing beats.",
        "height": 330,
        "layer": [front, points],
    }


def _scale(looks: dict[str, str]) -> Spec:
    return {"domain": list(looks), "range": list(looks.values())}

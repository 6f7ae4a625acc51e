"""The plane of the two losses: what a method learns of the new task against what it forgets of the old one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peftcalc.methods import METHODS
from peftcalc.plots.channels import (
    ONE_LEGEND,
    by_value,
    faint_unless_picked,
    layer,
    name,
    number,
    picked,
    tells,
    zoom,
)
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.findings.curves import DASHES, FULL, LEGEND, LOSS_AXIS, LOSS_SCALE, SHADES, SHAPES
from peftcalc.plots.style import METHOD_STYLES


def plane_chart(
    rows: Sequence[Mapping[str, Any]], unit: str, before: Mapping[str, float] | None = None, curves: Sequence[str] = ()
) -> Chart:
    """A curve for each method through its learning rates: the new task's loss up, the old one's to the right.

    Args:
        rows: series, rate, new, old (held-out losses), usual (whether the rate is the method's default), seeds.
        unit: of both losses.
        before: new and old, of the base model; a cross there.
        curves: the series that the legend has and their order; those of the rows by default. A method that is not
            drawn yet keeps its look.
    """
    series = tuple(curves) or tuple(dict.fromkeys(str(row["series"]) for row in rows))
    drawn = [{**row, "order": row["rate"]} for row in rows]
    usual = [row for row in drawn if row["usual"]]
    start = [{**before, "says": "before"}] if before else []
    return Chart(_plane, (unit, *series), {"points": drawn, "usual": usual, "before": start})


def _plane(unit: str, *series: str) -> Spec:
    x = number("old", "old task's loss: further right, more forgotten", scale=LOSS_SCALE, axis=LOSS_AXIS)
    y = number("new", f"new task's loss ({unit})", scale=LOSS_SCALE, axis=LOSS_AXIS)
    looks = {one: _look(one, place) for place, one in enumerate(series)}
    color = name("series", scale=by_value({one: look[0] for one, look in looks.items()}), legend=LEGEND)
    dash = name("series", scale=by_value({one: look[1] for one, look in looks.items()}), legend=None)
    shape = name("series", scale=by_value({one: look[2] for one, look in looks.items()}), legend=LEGEND)
    bare = {**color, "legend": None}
    order = {"field": "order", "type": "quantitative"}
    told = tells(series="method", rate=("learning rate", ".2g"), new=("new task", ".4f"), old=("old task", ".4f"),
                 seeds=("seeds", "d"))  # fmt: skip
    faint = faint_unless_picked()
    line = {"type": "line", "strokeWidth": 2.5}
    mark = {"type": "point", "filled": True, "size": 60}
    ring = {"type": "point", "filled": False, "size": 260, "strokeWidth": 2.5}
    cross = {"type": "point", "shape": "cross", "size": 120, "filled": True, "style": "ink"}
    word = {"type": "text", "align": "left", "dx": 10, "fontSize": 12}
    return {
        "description": "Loss on the new task against loss on the old one, a curve for each method through its rates.",
        "height": 250,
        "layer": [
            layer("points", line, params=[zoom("x", "y")], x=x, y=y, color=bare, strokeDash=dash,
                  order=order, opacity=faint),
            layer("points", mark, [picked("series")], x=x, y=y, color=color, shape=shape, opacity=faint, tooltip=told),
            layer("usual", ring, x=x, y=y, color=bare, opacity=faint),
            layer("before", cross, x=x, y=y, color={"value": "#808080"}),
            layer("before", word, x=x, y=y, text=name("says")),
        ],
        **ONE_LEGEND,
    }  # fmt: skip


def _look(series: str, place: int) -> tuple[str, list[int], str]:
    """A method's own look; a second series of one method has a look of its own."""
    style = next((METHOD_STYLES[name] for name in METHODS if METHODS[name].label == series), None)
    style = METHOD_STYLES["full"] if series == FULL else style
    if style is not None:
        return style.color, list(style.dash), style.shape
    return SHADES[place % len(SHADES)], DASHES[place % len(DASHES)], SHAPES[-1 - place % len(SHAPES)]

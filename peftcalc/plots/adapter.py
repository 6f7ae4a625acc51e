"""What an adapter has learned, drawn: the size of every update by depth, and the energy within a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.plots.channels import (
    LOG2,
    MARKS_ON_TOP,
    TOP,
    faint_unless_picked,
    layer,
    name,
    number,
    picked,
    rule_at,
    tells,
    zoom,
)
from peftcalc.plots.chart import Chart, Spec

if TYPE_CHECKING:
    import pandas as pd


MARKS = {**MARKS_ON_TOP, "columns": 3}
LINES = {**TOP, "columns": 3, "symbolSize": 200}
"""Legends in rows: the two charts stand side by side."""


def updates_chart(frame: pd.DataFrame) -> Chart:
    """The norm of each update against its layer's number, a mark for each module.

    Args:
        frame: columns layer, name (last part of the module's name), module, norm, effective_rank, rank.
    """
    return Chart(_updates, (), {"updates": frame})


def _updates() -> Spec:
    told = tells(module="module", norm=("‖s · B A‖", ".4g"), effective_rank=("effective rank", ".3g"), rank=("r", "d"))
    return {
        "description": "The norm of each update against its layer's number, a mark for each module.",
        "height": 320,
        "data": {"name": "updates"},
        "params": [picked("name"), zoom("x", "y")],
        "mark": {"type": "point", "filled": True, "size": 45, "clip": True},
        "encoding": {
            "x": number("layer", "Layer", axis={"tickMinStep": 1, "format": "d"}, scale={"padding": 14}),
            "y": number("norm", "‖s · B A‖", scale={"zero": True}),
            "color": name("name", scale={"scheme": "tableau10"}, legend=MARKS),
            "shape": name("name"),
            "opacity": faint_unless_picked(),
            "tooltip": told,
        },
    }


def energy_chart(frame: pd.DataFrame, rank: int) -> Chart:
    """Share of the energy that is kept at each rank, a line for each module name; a rule at `rank`.

    Args:
        frame: columns rank, name, percent.
        rank: at which the page's control stands.
    """
    return Chart(_energy, (), {"kept": frame, "here": [{"rank": rank}]})


def _energy() -> Spec:
    x = number("rank", "Cut to rank", scale=LOG2, axis={"format": "d"})
    lines = layer(
        "kept",
        {"type": "line", "point": True},
        params=[picked("name")],
        x=x,
        y=number("percent", "Energy kept, %", scale={"domain": [0, 100]}),
        color=name("name", scale={"scheme": "tableau10"}, legend=LINES),
        strokeDash=name("name"),
        opacity=faint_unless_picked(),
        tooltip=tells(name="module", rank=("rank", "d"), percent=("energy kept, %", ".4g")),
    )
    description = "Share of the energy that is kept at each rank, a line for each module name."
    return {"description": description, "height": 260, "layer": [lines, rule_at("here", x=x)]}

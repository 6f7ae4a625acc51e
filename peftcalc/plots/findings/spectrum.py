"""A matrix's spectrum before and after training, with the directions lit that were not there before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peftcalc.plots.channels import by_value, layer, name, number, tells
from peftcalc.plots.chart import Chart, Spec

KNOWN, NEW = "resembles an old one", "intruder"
LIT = "#d55e1f"


def spectrum_chart(rows: Sequence[Mapping[str, Any]], highest: float) -> Chart:
    """Bars of the singular values after training, strongest first, each with a tick where it stood before.

    Args:
        rows: place (from 1), before, after, cosine (with the nearest old direction; only of those that were looked at),
            what (`KNOWN` or `NEW`).
        highest: top of the axis, the same for charts that stand side by side.
    """
    return Chart(_spectrum, (highest,), {"directions": rows})


def _spectrum(highest: float) -> Spec:
    x = number("place", "direction, strongest first", axis={"format": "d", "grid": False, "tickMinStep": 1},
               scale={"nice": False, "padding": 12})  # fmt: skip
    y = number("after", "singular value", scale={"domain": [0, highest]}, axis={"tickCount": 5})
    colors = by_value({KNOWN: "#8b93a1", NEW: LIT})
    lit = name("what", scale=colors, legend={"orient": "top", "symbolType": "square"})
    told = tells(place=("direction", "d"), what="it", before=("value before", ".3f"), after=("value after", ".3f"),
                 cosine=("cosine with the nearest old one", ".2f"))  # fmt: skip
    star = {"type": "text", "text": "★", "dy": -8, "fontSize": 14}
    tick = {"type": "tick", "thickness": 3, "width": 14, "style": "ink"}
    return {
        "description": "Singular values after training as bars, before as ticks; intruders are lit and starred.",
        "height": 215,
        "layer": [
            layer("directions", {"type": "bar", "size": 12}, x=x, y=y, color=lit, tooltip=told),
            layer("directions", tick, x=x, y={**y, "field": "before"}, color={"value": "#b37f00"}),
            {**layer("directions", star, x=x, y=y), "transform": [{"filter": f"datum.what == '{NEW}'"}]},
        ],
    }

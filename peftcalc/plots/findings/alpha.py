"""The map of alpha and the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from peftcalc.plots.channels import layer, name, number, step, tells
from peftcalc.plots.chart import Chart, Spec

LIGHT_TEXT, DARK_TEXT = "#ffffff", "#0b0f1a"
BRIGHT = 0.55
"""Up to here from yellow to purple the scale is bright: dark letters have the higher contrast."""


def alpha_chart(rows: Sequence[Mapping[str, Any]], unit: str) -> Chart:
    """A cell for each alpha and rate with its held-out loss; the lowest of each alpha is framed.

    Args:
        rows: series (the alpha, as a name), x (the rate), mean, low, high, seeds; in the order of the alphas.
        unit: of the loss.
    """
    losses = [float(row["mean"]) for row in rows] or [1.0]
    best: dict[str, float] = {}
    for row in rows:
        best[row["series"]] = min(best.get(row["series"], math.inf), row["mean"])
    cells = [
        {**row, "rate": f"{row['x']:.1g}", "text": f"{row['mean']:.2g}", "best": row["mean"] == best[row["series"]]}
        for row in rows
    ]
    alphas = tuple(dict.fromkeys(str(row["series"]) for row in rows))
    rates = tuple(f"{rate:.1g}" for rate in sorted({float(row["x"]) for row in rows}))
    return Chart(_alpha, (unit, alphas, rates, min(losses), max(losses)), {"cells": cells})


def _alpha(unit: str, alphas: tuple[str, ...], rates: tuple[str, ...], low: float, high: float) -> Spec:
    x = step("rate", "learning rate", sort=list(rates), axis={"labelAngle": 0, "grid": False, "domain": False})
    y = step("series", "alpha", sort=list(reversed(alphas)), axis={"grid": False, "domain": False})
    told = tells(series="alpha", rate="learning rate", mean=("held-out loss", ".4g"), low=("95 % from", ".4g"),
                 high=("to", ".4g"), seeds=("seeds", "d"))  # fmt: skip
    scale = {"type": "log", "scheme": "viridis", "reverse": True, "domain": [low, max(high, low * 1.01)]}
    color = number("mean", f"held-out loss ({unit})", scale=scale, legend=None)
    bright = low * (max(high, low * 1.01) / low) ** BRIGHT
    ink = {"condition": {"test": f"datum.mean < {bright:.6g}", "value": DARK_TEXT}, "value": LIGHT_TEXT}
    frame = {"type": "rect", "filled": False, "strokeWidth": 3, "strokeOpacity": 1}
    lowest = layer("cells", frame, x=x, y=y, stroke={"value": "#d55e1f"})
    return {
        "description": "Held-out loss by alpha and learning rate; the lowest of each alpha is framed.",
        "height": {"step": 40},
        "layer": [
            layer("cells", {"type": "rect"}, x=x, y=y, color=color, tooltip=told),
            {**lowest, "transform": [{"filter": "datum.best"}]},
            layer("cells", {"type": "text", "fontSize": 13}, x=x, y=y, text=name("text"), color=ink),
        ],
    }

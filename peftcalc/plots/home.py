"""The two small charts of the first page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.plots.channels import name, number, of_methods, tells
from peftcalc.plots.chart import Chart, Spec

if TYPE_CHECKING:
    import pandas as pd


def peaks_chart(frame: pd.DataFrame) -> Chart:
    """Memory at the peak of a step, a bar for each method.

    Args:
        frame: columns method (label), GiB.
    """
    return Chart(_peaks, (len(frame),), {"peaks": frame})


def _peaks(methods: int) -> Spec:
    return {
        "description": "Memory at the peak of a training step, a bar for each method.",
        "height": 22 * methods + 60,
        "data": {"name": "peaks"},
        "mark": {"type": "bar", "height": {"band": 0.6}},
        "encoding": {
            "x": number("GiB", "GiB at the peak of a step"),
            "y": name("method", sort=None),
            "color": name("method", scale=of_methods("color"), legend=None),
            "tooltip": tells(method="method", GiB=("GiB", ".1f")),
        },
    }


def losses_chart(frame: pd.DataFrame) -> Chart:
    """Held-out loss by step, a line for each method.

    Args:
        frame: columns method (label), step, loss.
    """
    return Chart(_losses, (), {"losses": frame})


def _losses() -> Spec:
    return {
        "description": "Held-out loss by step, a line for each method.",
        "height": 170,
        "data": {"name": "losses"},
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": number("step", "Step"),
            "y": number("loss", "Nats a character", scale={"zero": False}),
            "color": name("method", scale=of_methods("color"), legend=None),
            "tooltip": tells(method="method", step=("step", "d"), loss=("nats a character", ".3f")),
        },
    }

"""Figures of rank: the floor of a known update, spectra, scaling, loss by rank, and dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.plots.channels import (
    LOG2,
    TOP,
    by_value,
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
from peftcalc.plots.style import METHOD_STYLES

if TYPE_CHECKING:
    import pandas as pd

LORA = METHOD_STYLES["lora"].color
FULL = METHOD_STYLES["full"].color
RANDOM = "#b6539d"
HEIGHT = 240


def _rank(*ticks: int) -> Spec:
    """A logarithmic axis of ranks to base 2."""
    axis = {"format": "d", "grid": False, **({"values": list(ticks)} if ticks else {})}
    return number("rank", "rank of the adapter", scale=LOG2, axis=axis)


def _ranks_of(frame: pd.DataFrame) -> tuple[int, ...]:
    return tuple(int(rank) for rank in frame["rank"])


def floor_chart(floor: pd.DataFrame, trained: pd.DataFrame) -> Chart:
    """The predicted floor as a line, what trained adapters reached as squares.

    Args:
        floor: columns rank, floor.
        trained: columns rank, loss; may be empty.
    """
    return Chart(_floor, _ranks_of(floor), {"floor": floor, "trained": trained})


def _floor(*ranks: int) -> Spec:
    x, y = _rank(*ranks), number("floor", "share of it that is missed", scale={"domain": [0, 1]})
    predicted = tells(rank=("rank", "d"), floor=("predicted floor", ".3g"))
    reached = tells(rank=("rank", "d"), loss=("trained LoRA", ".3g"))
    line = {"type": "line", "color": FULL, "strokeWidth": 3, "point": {"color": FULL, "size": 30}}
    square = {"type": "point", "shape": "square", "size": 90, "filled": True, "color": LORA, "opacity": 1}
    return {
        "description": "The predicted floor of the error by rank as a line, what trained adapters reached as squares.",
        "height": HEIGHT,
        "layer": [
            layer("floor", {"type": "area", "color": FULL, "opacity": 0.15}, x=x, y=y),
            layer("floor", line, x=x, y=y, tooltip=predicted),
            layer("trained", square, x=x, y={**y, "field": "loss"}, tooltip=reached),
        ],
    }


def energy_chart(frame: pd.DataFrame, rank: int) -> Chart:
    """Share of each update's energy within rank r: one thin line a matrix, the median thick, random matrices dashed.

    Args:
        frame: columns matrix, kind ("trained", "median", "random"), rank, share (0 to 1).
        rank: where the page's control stands.
    """
    return Chart(_energy, (), {"energies": frame, "here": [{"rank": rank}]})


def _energy() -> Spec:
    looks: dict[str, Spec] = {
        "trained": {"color": FULL, "strokeWidth": 1, "opacity": 0.45},
        "random": {"color": RANDOM, "strokeWidth": 3, "strokeDash": [3, 3]},
        "median": {"color": FULL, "strokeWidth": 4},
    }
    lines = [_energies(kind, look) for kind, look in looks.items()]
    return {
        "description": "Share of each update's energy within a rank: thin a matrix, thick the median, dashed random.",
        "height": HEIGHT,
        "layer": [*lines, rule_at("here", x=_rank())],
    }


def _energies(kind: str, look: Spec) -> Spec:
    told = tells(matrix="matrix", rank=("rank", "d"), share=("energy within it", ".1%"))
    share = number("share", "energy within this rank", axis={"format": "%"})
    lines = layer("energies", {"type": "line", **look}, x=_rank(), y=share, detail=name("matrix"), tooltip=told)
    return {**lines, "transform": [{"filter": f"datum.kind == '{kind}'"}]}


def scaling_chart(frame: pd.DataFrame, rank: int) -> Chart:
    """Scaling factors over rank, both axes logarithmic; a rule at the control's rank.

    Args:
        frame: columns rule ("α / r", "α / √r", "α = 2r"), rank, scaling.
    """
    return Chart(_scaling, (), {"rules": frame, "here": [{"rank": rank}]})


def _scaling() -> Spec:
    colors = by_value({"α / r": LORA, "α / √r": "#168f74", "α = 2r": FULL})
    dashes = by_value({"α / r": [1, 0], "α / √r": [7, 2], "α = 2r": [2, 2]})
    lines = layer(
        "rules",
        {"type": "line", "strokeWidth": 3, "point": True},
        params=[picked("rule")],
        x=_rank(),
        y=number("scaling", "scaling s", scale=LOG2, axis={"format": "~g"}),
        color=name("rule", scale=colors, legend=TOP),
        strokeDash=name("rule", scale=dashes),
        opacity=faint_unless_picked(),
        tooltip=tells(rule="rule", rank=("rank", "d"), scaling=("s", ".4g")),
    )
    description = "The scaling factor s over rank by three rules, both axes logarithmic."
    return {"description": description, "height": HEIGHT, "layer": [lines, rule_at("here", x=_rank())]}


def loss_chart(frame: pd.DataFrame, full: float, unit: str) -> Chart:
    """Held-out loss by rank with intervals over seeds; full fine-tuning as a dotted level.

    Args:
        frame: columns rank, mean, low, high.
        full: mean held-out loss of full fine-tuning.
    """
    return Chart(_loss, (unit, *_ranks_of(frame)), {"losses": frame, "full": [{"mean": full}]})


def _loss(unit: str, *ranks: int) -> Spec:
    x, y = _rank(*ranks), number("mean", f"held-out loss ({unit})", scale={"zero": False})
    told = {"rank": ("rank", "d"), "mean": ("mean", ".4f"), "low": ("interval from", ".4f"), "high": ("to", ".4f")}
    level = {"type": "rule", "color": FULL, "strokeWidth": 2, "strokeDash": [2, 3]}
    line = {"type": "line", "color": LORA, "strokeWidth": 3, "strokeDash": [7, 2]}
    square = {"type": "point", "shape": "square", "size": 80, "filled": True, "color": LORA, "opacity": 1}
    spread = {"type": "rule", "color": LORA, "strokeWidth": 2}
    return {
        "description": "Held-out loss by rank with intervals over seeds; full fine-tuning as a dotted level.",
        "height": HEIGHT,
        "layer": [
            layer("losses", spread, x=x, y={**y, "field": "low"}, y2={"field": "high"}),
            layer("losses", line, x=x, y=y),
            layer("losses", square, x=x, y=y, tooltip=tells(**told)),
            layer("full", level, y=y, tooltip=tells(mean=("full fine-tuning", ".4f"))),
        ],
    }


def dropout_chart(frame: pd.DataFrame, highest: float) -> Chart:
    """Training and held-out loss by step for one rate of dropout; a common height lets charts stand side by side.

    Args:
        frame: columns curve ("training", "held out"), step, loss.
        highest: top of the vertical axis, the same for every rate.
    """
    return Chart(_dropout, (highest,), {"losses": frame})


def _dropout(highest: float) -> Spec:
    colors = by_value({"training": LORA, "held out": METHOD_STYLES["dora"].color})
    dashes = by_value({"training": [4, 3], "held out": [1, 0]})
    return {
        "description": "Training and held-out loss by step for one rate of dropout.",
        "height": 290,
        "data": {"name": "losses"},
        "params": [picked("curve"), zoom("x")],
        "mark": {"type": "line", "strokeWidth": 3, "point": {"size": 40}, "clip": True},
        "encoding": {
            "x": number("step", "step"),
            "y": number("loss", "nats a character", scale={"domain": [0, highest]}),
            "color": name("curve", scale=colors, legend={**TOP, "columns": 1}),
            "strokeDash": name("curve", scale=dashes),
            "opacity": faint_unless_picked(),
            "tooltip": tells(curve="curve", step=("step", "d"), loss=("loss", ".3f")),
        },
    }

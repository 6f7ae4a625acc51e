"""Figures of counting: the update by hand, the one-matrix curves, one block with its adapted layers, five methods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from peftcalc.methods import METHODS
from peftcalc.plots.channels import (
    BILLIONS,
    LOG,
    faint_unless_picked,
    layer,
    name,
    number,
    of_methods,
    picked,
    rule_at,
    step,
    tells,
)
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.style import LIGHT, METHOD_STYLES, Theme, new_figure

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from peftcalc.counting.worked_example import WorkedExample
    from peftcalc.models.shapes import ModelShapes, ModuleGroup


def update_figure(example: WorkedExample, theme: Theme = LIGHT) -> Figure:
    """`W + B A = W'` as five grids of numbers; the frozen weight is grey, what is trained has LoRA's colour."""
    size, rank = example.W.shape[0], example.rank
    figure, axes = new_figure(8.2, 2.1, theme, columns=5)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    grids = [
        (example.W, "W, frozen", theme.frozen),
        (example.B, f"B ({size} × {rank})", METHOD_STYLES["lora"].color),
        (example.A, f"A ({rank} × {size})", METHOD_STYLES["lora"].color),
        (example.update, "ΔW = B A", METHOD_STYLES["lora"].color),
        (example.adapted, "W' = W + ΔW", METHOD_STYLES["full"].color),
    ]
    signs = ["+", "×", "=", "", ""]
    for axis, (matrix, title, color), sign in zip(axes, grids, signs, strict=True):
        _number_grid(axis, matrix, title, color, theme)
        if sign:
            axis.text(5.35, 2.5, sign, color=theme.text, fontsize=18, ha="center", va="center")
        axis.set_xlim(-0.1, 5.6)
        axis.set_ylim(size + 0.1, -0.1)
    return figure


def _number_grid(axis: Axes, matrix: np.ndarray, title: str, color: str, theme: Theme) -> None:
    """One matrix: each number in a cell, tinted by its size."""
    from matplotlib.patches import Rectangle

    rows, columns = matrix.shape
    top = max(1, int(abs(matrix).max()))
    left, up = (5 - columns) / 2, (5 - rows) / 2
    axis.set_title(title, color=theme.text, fontsize=12)
    axis.set_aspect("equal")
    axis.axis("off")
    for row in range(rows):
        for column in range(columns):
            value = int(matrix[row, column])
            x, y = left + column, up + row
            axis.add_patch(
                Rectangle((x, y), 0.96, 0.96, facecolor=color, alpha=0.12 + 0.5 * abs(value) / top, linewidth=0)
            )
            axis.text(x + 0.48, y + 0.5, f"{value}", color=theme.text, fontsize=11, ha="center", va="center")


def curve_chart(frame: pd.DataFrame, total: int) -> Chart:
    """Trained share against model size, a line for each rank, both axes logarithmic; a rule at `total`.

    Args:
        frame: columns total, rank, dimension, trainable, percent.
        total: the size that the page's control stands at.
    """
    return Chart(_curve, (), {"curves": frame, "here": [{"total": total}]})


def _curve() -> Spec:
    x = number("total", "Parameters of the model", scale=LOG, axis={"format": "~s", "labelExpr": BILLIONS})
    told = tells(
        total=("model", ","),
        rank=("rank", "d"),
        dimension=("side of the matrix", ","),
        trainable=("trained", ","),
        percent=("% of the model", ".4g"),
    )
    lines = layer(
        "curves",
        {"type": "line", "point": {"size": 28}},
        params=[picked("rank")],
        x=x,
        y=number("percent", "Trained, % of the model", scale=LOG, axis={"format": "~g"}),
        color=step("rank", "Rank", scale={"scheme": "viridis", "reverse": True}),
        opacity=faint_unless_picked(),
        tooltip=told,
    )
    description = "Trained share against model size, a line for each rank, both axes logarithmic."
    return {"description": description, "height": 340, "layer": [lines, rule_at("here", x=x)]}


def methods_chart(frame: pd.DataFrame) -> Chart:
    """Trained parameters of the five methods on one model, logarithmic, with their numbers.

    Args:
        frame: columns method (label), trainable, percent, text.
    """
    lowest = max(1, min(frame["trainable"].tolist()))
    return Chart(_methods, (), {"methods": frame.assign(floor=10 ** math.floor(math.log10(lowest) - 0.3))})


def _methods() -> Spec:
    order = [kind.label for kind in METHODS.values()]
    ticks = {"format": "~s", "tickCount": 6, "labelExpr": BILLIONS}
    told = tells(method="method", trainable=("trained", ","), percent=("% of the model", ".4g"))
    x = number("floor", "Trained parameters (each step is ten times)", scale=LOG, axis=ticks)
    bars = {
        "x": x,
        "x2": {"field": "trainable"},
        "color": name("method", scale=of_methods("color"), legend=None),
        "tooltip": told,
    }
    words = {"type": "text", "align": "right", "dx": -5, "color": "white", "fontWeight": "bold"}
    return {
        "description": "Trained parameters of the five methods on one model, on a logarithmic axis.",
        "height": 190,
        "data": {"name": "methods"},
        "encoding": {"y": name("method", sort=order)},
        "layer": [
            {"mark": {"type": "bar", "height": {"band": 0.72}}, "encoding": bars},
            {"mark": words, "encoding": {"x": {**x, "field": "trainable"}, "text": name("text"), "tooltip": told}},
        ],
    }


def gap_chart(frame: pd.DataFrame) -> Chart:
    """From the one-matrix percentage to this model's real one, a bar for each step.

    Args:
        frame: columns step (in order), percent, text.
    """
    return Chart(_gap, (len(frame),), {"steps": frame})


def _gap(steps: int) -> Spec:
    told = tells(step="step", percent=("% of the model", ".5g"))
    x = number("percent", "Trained, % of the model")
    bar = {"type": "bar", "height": {"band": 0.6}, "color": METHOD_STYLES["lora"].color}
    return {
        "description": "From the one-matrix percentage to this model's real one, a bar for each step.",
        "height": 36 * steps + 30,
        "data": {"name": "steps"},
        "encoding": {"y": name("step", sort=None, axis={"labelLimit": {"expr": "width < 400 ? 130 : 320"}})},
        "layer": [
            {"mark": bar, "encoding": {"x": x, "tooltip": told}},
            {"mark": {"type": "text", "align": "left", "dx": 4}, "encoding": {"x": x, "text": name("text")}},
        ],
    }


def block_figure(shapes: ModelShapes, lit: set[str], color: str, theme: Theme = LIGHT) -> Figure:
    """One repeated block: a box for each of its weights, as wide as its inputs and as tall as its outputs.

    Args:
        shapes: the model.
        lit: templates of the module groups that get an adapter; they are drawn in `color`.
        color: of the method.
    """
    groups = block_groups(shapes)
    rows = _rows_of_four(groups)
    figure, axes = new_figure(7.5, 0.2 + 1.35 * len(rows), theme, rows=len(rows))
    longest = max((max(_sides(group)) for group in groups), default=1)
    for axis, row in zip(axes, rows, strict=True):
        axis.axis("off")
        axis.set_xlim(0, 4)
        axis.set_ylim(0, 1)
        for place, group in enumerate(row):
            _weight_box(axis, place, group, longest, color if group.template in lit else theme.frozen, theme)
    return figure


def block_groups(shapes: ModelShapes) -> list[ModuleGroup]:
    """The matrices of the most repeated block of the model; of the whole model when nothing repeats."""
    matrices = [g for g in shapes.groups if g.kind in ("linear", "conv1d", "experts", "conv2d", "conv1d_nn")]
    repeated = [group for group in matrices if group.indices]
    if not repeated:
        return matrices[:12]
    blocks: dict[str, list[ModuleGroup]] = {}
    for group in repeated:
        blocks.setdefault(group.template.partition("{}")[0], []).append(group)
    block = max(blocks.values(), key=lambda groups: sum(group.parameters for group in groups))
    distinct = {group.template: group for group in block}
    return list(distinct.values())[:12]


def _rows_of_four(groups: list[ModuleGroup]) -> list[list[ModuleGroup]]:
    return [groups[start : start + 4] for start in range(0, len(groups), 4)] or [[]]


def _sides(group: ModuleGroup) -> tuple[int, int]:
    return group.in_features or 1, group.out_features or 1


def _weight_box(axis: Axes, place: int, group: ModuleGroup, longest: int, color: str, theme: Theme) -> None:
    from matplotlib.patches import FancyBboxPatch

    width, height = (0.14 + 0.72 * side / longest for side in _sides(group))
    height *= 0.62
    x, y = place + (1 - width) / 2, 0.30 + (0.66 - height) / 2
    axis.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.02", facecolor=color, linewidth=0)
    )
    bold = "bold" if color != theme.frozen else "normal"
    axis.text(place + 0.5, 0.17, group.suffix, color=theme.text, fontsize=11, ha="center", va="center", weight=bold)
    sides = f"{group.in_features:,} → {group.out_features:,}" if group.in_features else f"{group.parameters_each:,}"
    axis.text(place + 0.5, 0.03, sides, color=theme.text, fontsize=9, ha="center", va="center")

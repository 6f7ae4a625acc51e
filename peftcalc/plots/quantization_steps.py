"""Charts of one number's bits, and of eight weights step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftcalc.plots.channels import by_value, layer, name, number, tells
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.quantization import FORMAT_COLORS

if TYPE_CHECKING:
    from peftcalc.quant.precision import StoredNumber
    from peftcalc.quant.steps import Steps

PART_COLORS = {"sign": "#c2405a", "exponent": "#a07a08", "fraction": "#3b76c4"}
"""The three parts of a stored number."""


def bits_chart(numbers: Sequence[StoredNumber]) -> Chart:
    """The same number in several formats, a row each: its bits in cells, tinted by part, and what is stored."""
    cells = [
        {"format": n.format, "place": place, "bit": bit, "part": part, "fill": 1.0 if bit == "1" else 0.25}
        for n in numbers
        for place, (bit, part) in enumerate(_bits_by_part(n))
    ]
    values = [{"format": n.format, "place": n.layout.bits, "text": f"{n.value:.9g}"} for n in numbers]
    return Chart(_bits, (len(numbers),), {"cells": cells, "stored": values})


def _bits(rows: int) -> Spec:
    legend = {"orient": "top", "symbolType": "square"}
    color = name("part", scale=by_value(PART_COLORS), legend=legend)
    ink = {"condition": {"test": "datum.bit === '1'", "value": "#ffffff"}}  # on a full cell; the theme's elsewhere
    told = {"tooltip": tells(format="format", part="part", bit="bit")}
    square = {"type": "square", "size": {"expr": "width < 400 ? 45 : 170"}}
    small = {"type": "text", "fontSize": {"expr": "width < 400 ? 7 : 10"}}
    stored = {"type": "text", "align": "left", "fontSize": 12, "fontWeight": "bold"}
    return {
        "description": "The same number in several formats, a row each: its bits, and what is stored.",
        "height": 28 * rows + 30,
        "encoding": {
            "x": number("place", axis=None, scale={"domain": [-0.6, 39], "nice": False}),
            "y": name("format", sort=None, axis={"domain": False, "ticks": False}),
        },
        "layer": [
            layer("cells", square, color=color, opacity=number("fill", scale=None), **told),
            layer("cells", small, text=name("bit"), color=ink, **told),
            layer("stored", stored, text=name("text"), tooltip=tells(format="format", text="stored")),
        ],
    }


def _bits_by_part(number: StoredNumber) -> list[tuple[str, str]]:
    """Each bit with its part; a whole number's bits beside the sign count as fraction."""
    parts = (("sign", number.sign), ("exponent", number.exponent), ("fraction", number.fraction))
    return [(bit, part) for part, bits in parts for bit in bits]


STAGES = ("Weights", "Block maximum", "Normalised", "Nearest code", "Packed bytes", "Dequantized", "Error")
"""The steps of quantizing a block, in order."""


def code_line_chart(steps: Steps, stage: int) -> Chart:
    """The line of normalised numbers: every code point, and from stage 2 the weights on their way to the nearest."""
    top = 1.03 * max(abs(value) for value in steps.grid)
    pairs = zip(steps.normalised, steps.code_values, strict=True)
    weights = [{"place": before, "level": 1.0, "end": after, "floor": 0.25} for before, after in pairs]
    points = [{"place": place, "level": 0.1} for place in steps.grid]
    shown = min(max(stage, 1), 3)  # nothing new is drawn before and after
    return Chart(_code_line, (steps.format, top, len(points) < 20, shown), {"codes": points, "weights": weights})


def _code_line(form: str, top: float, few: bool, stage: int) -> Spec:
    tick = {"type": "tick", "thickness": 2.5 if few else 0.8, "size": 26, "color": FORMAT_COLORS[form]}
    told = {"tooltip": tells(place=("normalised", ".4f"), end=("nearest code point", ".4f"))}
    layers = [layer("codes", tick, tooltip=tells(place=("code point", ".4f")))]
    if stage >= 3:
        path = {"type": "rule", "strokeWidth": 1}
        layers.append(layer("weights", path, x2={"field": "end"}, y2={"field": "floor"}, **told))
    if stage >= 2:
        layers.append(layer("weights", {"type": "circle", "size": 55, "opacity": 1, "style": "ink"}, **told))
    return {
        "description": f"The code points of {form} on the line of normalised numbers, and the weights.",
        "height": 110,
        "encoding": {
            "x": number("place", f"code points of {form}", scale={"domain": [-top, top]}),
            "y": number("level", axis=None, scale={"domain": [-0.2, 1.2]}),
        },
        "layer": layers,
    }


def stages_chart(steps: Steps, stage: int) -> Chart:
    """The numbers of one block up to stage `stage` (0 … 6): a row a stage, the last one marked."""
    count = len(steps.weights)
    boxes = []
    for row, cells in enumerate(stage_cells(steps)[: stage + 1]):
        width = count / len(cells)
        for place, text in enumerate(cells):
            left, right = place * width + 0.04, (place + 1) * width - 0.04
            box = {"left": left, "right": right, "middle": (left + right) / 2, "text": text}
            boxes.append(box | {"stage": STAGES[row], "fill": 0.55 if row == stage else 0.18})
    return Chart(_stages, (steps.format, count), {"boxes": boxes})


def _stages(form: str, count: int) -> Spec:
    scale = {"domain": [0, count], "nice": False}
    axis = {"labelFontSize": 13, "labelLimit": 140, "domain": False, "ticks": False}
    cell = {
        "x": number("left", axis=None, scale=scale),
        "x2": {"field": "right"},
        "opacity": number("fill", scale=None),
    }
    words = {"type": "text", "fontSize": {"expr": "width < 400 ? 8.5 : 12"}}
    mark = {"type": "rect", "color": FORMAT_COLORS[form], "cornerRadius": 3}
    return {
        "description": "The numbers of one block step by step, a row for each step.",
        "height": 34 * len(STAGES),
        "data": {"name": "boxes"},
        "encoding": {
            "y": name("stage", axis=axis, scale={"domain": list(STAGES), "padding": 0.12}),
            "tooltip": tells(stage="step", text="number"),
        },
        "layer": [
            {"mark": mark, "encoding": cell},
            {"mark": words, "encoding": {"x": number("middle", axis=None, scale=scale), "text": name("text")}},
        ],
    }


def stage_cells(steps: Steps) -> list[list[str]]:
    """The numbers of each stage as text, (7 stages, their cells)."""
    bits = 8 if steps.format == "int8" else 4
    return [
        [f"{value:.4g}" for value in steps.weights],
        [f"absmax = {steps.absmax:.6g}"],
        [f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" for value in steps.normalised],
        [f"{code}" for code in steps.codes],
        [f"{byte:08b}" if bits == 8 else f"{byte >> 4:04b} {byte & 15:04b}" for byte in steps.packed],
        [f"{value:.3g}" for value in steps.dequantized],
        [f"{value:+.2g}" for value in steps.errors],
    ]

"""Charts of one number's bits, and of eight weights step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftcalc.plots.quantization import FORMAT_COLORS, Spec
from peftcalc.plots.style import LIGHT, Theme

if TYPE_CHECKING:
    from peftcalc.quant.precision import StoredNumber
    from peftcalc.quant.steps import Steps

PART_COLORS = {"sign": "#c2405a", "exponent": "#a07a08", "fraction": "#3b76c4"}
"""The three parts of a stored number."""


def bits_chart(numbers: Sequence[StoredNumber], theme: Theme = LIGHT) -> Spec:
    """The same number in several formats, a row each: its bits in cells, tinted by part, and what is stored."""
    order = [number.format for number in numbers]
    cells = [
        {"format": n.format, "place": place, "bit": bit, "part": part, "ink": _ink(bit, theme), "fill": _fill(bit)}
        for n in numbers
        for place, (bit, part) in enumerate(_bits_by_part(n))
    ]
    values = [{"format": n.format, "place": n.layout.bits, "text": f"{n.value:.9g}"} for n in numbers]
    x = {"field": "place", "type": "quantitative", "axis": None, "scale": {"domain": [-0.6, 39], "nice": False}}
    y = {"field": "format", "type": "nominal", "sort": order, "title": None, "axis": {"domain": False, "ticks": False}}
    color = {"field": "part", "title": None, "legend": {"orient": "top"}, "scale": _colors(PART_COLORS)}
    box = {"color": color, "opacity": {"field": "fill", "type": "quantitative", "scale": None}}
    digit = {"text": {"field": "bit"}, "color": {"field": "ink", "scale": None}}
    square = {"type": "square", "size": {"expr": "width < 400 ? 45 : 170"}}
    small = {"type": "text", "fontSize": {"expr": "width < 400 ? 7 : 10"}}
    stored = {"type": "text", "align": "left", "fontSize": 12, "fontWeight": "bold", "color": theme.text}
    return {
        "height": 28 * len(numbers) + 30,
        "encoding": {"x": x, "y": y},
        "layer": [
            {
                "data": {"values": cells},
                "mark": square,
                "encoding": box,
            },
            {
                "data": {"values": cells},
                "mark": small,
                "encoding": digit,
            },
            {"data": {"values": values}, "mark": stored, "encoding": {"text": {"field": "text"}}},
        ],
    }


def _ink(bit: str, theme: Theme) -> str:
    return "#ffffff" if bit == "1" else theme.text


def _fill(bit: str) -> float:
    return 1.0 if bit == "1" else 0.25


def _colors(colors: dict[str, str]) -> dict[str, list[str]]:
    return {"domain": list(colors), "range": list(colors.values())}


def _bits_by_part(number: StoredNumber) -> list[tuple[str, str]]:
    """Each bit with its part; a whole number's bits beside the sign count as fraction."""
    parts = (("sign", number.sign), ("exponent", number.exponent), ("fraction", number.fraction))
    return [(bit, part) for part, bits in parts for bit in bits]


STAGES = ("Weights", "Block maximum", "Normalised", "Nearest code", "Packed bytes", "Dequantized", "Error")
"""The steps of quantizing a block, in order."""


def code_line_chart(steps: Steps, stage: int, theme: Theme = LIGHT) -> Spec:
    """The line of normalised numbers: every code point, and from stage 2 the weights on their way to the nearest."""
    top = 1.03 * max(abs(value) for value in steps.grid)
    pairs = zip(steps.normalised, steps.code_values, strict=True)
    weights = [{"place": before, "level": 1.0, "end": after, "floor": 0.25} for before, after in pairs]
    thickness = 2.5 if len(steps.grid) < 20 else 0.8
    tick = {"type": "tick", "thickness": thickness, "size": 26, "color": FORMAT_COLORS[steps.format]}
    path = {"type": "rule", "color": theme.text, "strokeWidth": 1}
    ends = {"x2": {"field": "end"}, "y2": {"field": "floor"}}
    dot = {"type": "circle", "size": 55, "color": theme.text, "opacity": 1}
    points = [{"place": place, "level": 0.1} for place in steps.grid]
    layers: list[Spec] = [{"data": {"values": points}, "mark": tick}]
    if stage >= 3:
        layers.append({"data": {"values": weights}, "mark": path, "encoding": ends})
    if stage >= 2:
        layers.append({"data": {"values": weights}, "mark": dot})
    title = f"code points of {steps.format}"
    return {
        "height": 110,
        "encoding": {
            "x": {"field": "place", "type": "quantitative", "title": title, "scale": {"domain": [-top, top]}},
            "y": {"field": "level", "type": "quantitative", "axis": None, "scale": {"domain": [-0.2, 1.2]}},
            "tooltip": {"field": "place", "type": "quantitative", "format": ".4f"},
        },
        "layer": layers,
    }


def stages_chart(steps: Steps, stage: int, theme: Theme = LIGHT) -> Spec:
    """The numbers of one block up to stage `stage` (0 … 6): a row a stage, the last one marked."""
    count = len(steps.weights)
    boxes = []
    for row, cells in enumerate(stage_cells(steps)[: stage + 1]):
        width = count / len(cells)
        for place, text in enumerate(cells):
            left, right = place * width + 0.04, (place + 1) * width - 0.04
            box = {"left": left, "right": right, "middle": (left + right) / 2, "text": text}
            boxes.append(box | {"stage": STAGES[row], "fill": 0.55 if row == stage else 0.18})
    scale = {"domain": [0, count], "nice": False}
    axis = {"labelFontSize": 13, "labelLimit": 140, "domain": False, "ticks": False}
    y = {"field": "stage", "type": "nominal", "title": None, "axis": axis}
    y["scale"] = {"domain": list(STAGES), "padding": 0.12}
    cell = {
        "x": {"field": "left", "type": "quantitative", "axis": None, "scale": scale},
        "x2": {"field": "right"},
        "opacity": {"field": "fill", "type": "quantitative", "scale": None},
    }
    text = {"x": {"field": "middle", "type": "quantitative", "scale": scale}, "text": {"field": "text"}}
    words = {"type": "text", "fontSize": {"expr": "width < 400 ? 8.5 : 12"}, "color": theme.text}
    mark = {"type": "rect", "color": FORMAT_COLORS[steps.format], "cornerRadius": 3}
    return {
        "height": 34 * len(STAGES),
        "data": {"values": boxes},
        "encoding": {"y": y},
        "layer": [
            {"mark": mark, "encoding": cell},
            {"mark": words, "encoding": text},
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

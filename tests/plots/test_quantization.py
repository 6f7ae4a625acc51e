"""Charts of quantization say what the core returned, and keep their contrast."""

from __future__ import annotations

import numpy as np
import pytest

from peftcalc.plots.quantization import BYTE_COLORS, CODE_POINT_COLOR, FORMAT_COLORS, normalised_chart
from peftcalc.plots.quantization_steps import (
    PART_COLORS,
    STAGES,
    bits_chart,
    code_line_chart,
    stage_cells,
    stages_chart,
)
from peftcalc.plots.style import THEMES
from peftcalc.quant.precision import NUMBER_FORMATS, store
from peftcalc.quant.steps import steps

WEIGHTS = [0.42, -0.13, 0.05, -0.71, 0.28, 0.9, -0.36, 0.01]


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    "color",
    sorted({*FORMAT_COLORS.values(), *PART_COLORS.values(), *BYTE_COLORS.values(), CODE_POINT_COLOR}),
)
def test_colours_stand_out_in_light_and_dark(color, theme):
    pair = sorted((luminance(color), luminance(THEMES[theme].background)))
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3


def test_every_bit_is_drawn_once():
    numbers = [store(0.1, name) for name in NUMBER_FORMATS]
    cells = bits_chart(numbers).data["cells"]
    for number in numbers:
        drawn = sorted((cell["place"], cell["bit"]) for cell in cells if cell["format"] == number.format)
        assert "".join(bit for _, bit in drawn) == number.bit_string


@pytest.mark.parametrize("name", ["int8", "int4", "nf4"])
def test_a_stage_shows_itself_and_what_came_before(name):
    taken = steps(WEIGHTS, name)
    for stage in range(len(STAGES)):
        boxes = stages_chart(taken, stage).data["boxes"]
        assert [box["stage"] for box in boxes if box["fill"] > 0.5] == [STAGES[stage]] * len(stage_cells(taken)[stage])
        assert {box["stage"] for box in boxes} == set(STAGES[: stage + 1])
        assert len(code_line_chart(taken, stage).specification()["layer"]) == 1 + (stage >= 2) + (stage >= 3)


def test_the_line_joins_each_weight_to_the_nearest_code_point():
    taken = steps(WEIGHTS, "nf4")
    for line in code_line_chart(taken, 3).data["weights"]:
        assert line["end"] == min(taken.grid, key=lambda point: abs(point - line["place"]))


def test_small_multiples_have_one_vertical_axis():
    places = np.linspace(-1, 1, 5)
    charts = [normalised_chart(places, places * 0 + share, places, "nf4", 40.0).specification() for share in (1, 40)]
    assert charts[0]["layer"][0]["encoding"]["y"] == charts[1]["layer"][0]["encoding"]["y"]

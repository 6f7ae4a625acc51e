"""Charts of quantization say what the core returned, and keep their contrast."""

from __future__ import annotations

import numpy as np
import pytest

from peftcalc.plots.quantization import BIT_COLORS, BYTE_COLORS, CODE_POINT_COLOR, FORMAT_COLORS, normalised_chart
from peftcalc.plots.style import THEMES


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    "color",
    sorted({*FORMAT_COLORS.values(), *BIT_COLORS.values(), *BYTE_COLORS.values(), CODE_POINT_COLOR}),
)
def test_colours_stand_out_in_light_and_dark(color, theme):
    pair = sorted((luminance(color), luminance(THEMES[theme].background)))
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3


def test_small_multiples_have_one_vertical_axis():
    places = np.linspace(-1, 1, 5)
    charts = [normalised_chart(places, places * 0 + share, places, "nf4", 40.0).specification() for share in (1, 40)]
    assert charts[0]["layer"][0]["encoding"]["y"] == charts[1]["layer"][0]["encoding"]["y"]

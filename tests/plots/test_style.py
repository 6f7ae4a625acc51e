"""Method colours: readable on both grounds, the same in the app's theme, and told apart without colour."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from peftcalc.methods import METHODS
from peftcalc.plots.channels import of_methods
from peftcalc.plots.style import METHOD_STYLES, THEMES, new_figure


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_and_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("method", METHODS)
def test_lines_are_seen_on_the_ground(theme, method):
    assert contrast(METHOD_STYLES[method].color, theme.background) >= 3


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_is_read_on_the_ground(theme):
    assert contrast(theme.text, theme.background) >= 7


def test_methods_differ_without_colour():
    assert list(METHOD_STYLES) == list(METHODS)
    assert len({style.dash for style in METHOD_STYLES.values()}) == len(METHODS)
    assert len({style.marker for style in METHOD_STYLES.values()}) == len(METHODS)
    assert len({style.shape for style in METHOD_STYLES.values()}) == len(METHODS)


def test_the_theme_of_the_app_has_the_same_colours():
    config = tomllib.loads((Path(__file__).parents[2] / ".streamlit/config.toml").read_text())
    assert config["theme"]["chartCategoricalColors"] == [style.color for style in METHOD_STYLES.values()]
    for name, theme in THEMES.items():
        assert config["theme"][name]["backgroundColor"] == theme.background
        assert config["theme"][name]["textColor"] == theme.text


def test_the_server_is_set_up_for_a_class():
    config = tomllib.loads((Path(__file__).parents[2] / ".streamlit/config.toml").read_text())
    assert config["runner"]["postScriptGC"] is False
    assert config["server"]["maxUploadSize"] == 5
    assert config["server"]["enableXsrfProtection"] is True
    assert config["server"]["enableCORS"] is True
    # What a browser may have let go of is not referred to: see tests/e2e/test_pages.py, a slider to and fro.
    assert config["global"]["minCachedMessageSize"] >= 100_000
    assert config["global"]["maxCachedMessageAge"] >= 50
    assert config["client"]["showErrorDetails"] == "none"
    assert config["browser"]["gatherUsageStats"] is False


def test_scales_are_in_the_order_of_the_methods():
    for what in ("color", "dash", "shape"):
        assert of_methods(what)["domain"] == ["Full", "LoRA", "DoRA", "QLoRA", "QDoRA"]


def test_small_multiples_share_their_axes():
    _, axes = new_figure(rows=1, columns=3, share=True)
    axes[0].set_xlim(0, 5)
    assert axes[2].get_xlim() == (0, 5)

"""The figures of direction and magnitude draw what they are given, on axes that can be shared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from peftcalc.geometry.direction import decompose
from peftcalc.plots import direction as plots
from peftcalc.plots.style import METHOD_STYLES


@pytest.mark.parametrize(("turn", "stretch"), [(0, 1.0), (90, 0.5), (-60, 2.0)])
def test_the_row_is_turned_and_stretched_as_asked(turn, stretch):
    change = decompose([plots.START], [plots.moved_row(turn, stretch)])
    assert change.relative_lengths[0] == pytest.approx(stretch - 1)
    assert change.direction_change == pytest.approx(1 - np.cos(np.radians(turn)))


@pytest.mark.parametrize("panel", ["full", "lora", "dora", "random"])
def test_panels_share_their_axes_and_differ_in_colour(panel):
    frame = pd.DataFrame(
        [("first.0", "first", 0.5, 0.1, 0.2)], columns=["matrix", "kind", "checkpoint", "turn", "length"]
    )
    spec = plots.moves_chart(frame, panel, (0.4, 0.8), ("ΔD", "ΔM")).to_dict()
    assert spec["encoding"]["x"]["scale"]["domain"] == [0, 0.4]
    assert spec["encoding"]["y"]["scale"]["domain"] == [0, 0.8]
    expected = plots.RANDOM if panel == "random" else METHOD_STYLES[panel].color
    assert spec["mark"]["color"] == expected


def test_neurons_come_with_the_curve_of_pure_turning():
    spec = plots.neurons_chart(pd.DataFrame({"turn": [0.1], "length": [0.2]}), "lora", (0.5, -0.1, 1.0)).to_dict()
    drawn = [spec["datasets"][layer["data"]["name"]] for layer in spec["layer"]]
    assert drawn[0] == [{"turn": 0.1, "length": 0.2}]
    assert drawn[1][-1] == pytest.approx({"turn": 0.5, "length": 1.0})


def test_the_knock_out_has_a_dash_and_a_mark_for_each_method():
    frame = pd.DataFrame([("LoRA", 1, 0.9), ("DoRA", 1, 0.0)], columns=["method", "rank", "loss"])
    text = str(plots.knock_out_chart(frame).to_dict())
    for name in ("lora", "dora"):
        assert METHOD_STYLES[name].color in text
        assert METHOD_STYLES[name].shape in text

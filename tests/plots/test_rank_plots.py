"""The figures of rank draw what they are given."""

from __future__ import annotations

import pandas as pd

from peftcalc.plots import rank as plots


def drawn(chart) -> list[list[dict]]:
    """The rows of each dataset of a chart."""
    return list(chart.to_dict()["datasets"].values())


def test_floor_and_trained_points_are_both_drawn():
    floor = pd.DataFrame({"rank": [1, 2, 4], "floor": [0.75, 0.5, 0.0]})
    found = drawn(plots.floor_chart(floor, pd.DataFrame({"rank": [2], "loss": [0.51]})))
    assert floor.to_dict("records") in found
    assert [{"rank": 2, "loss": 0.51}] in found


def test_the_floor_is_drawn_before_anything_is_trained():
    floor = pd.DataFrame({"rank": [1, 2], "floor": [0.5, 0.0]})
    assert floor.to_dict("records") in drawn(plots.floor_chart(floor, pd.DataFrame(columns=["rank", "loss"])))


def test_energies_have_three_kinds_of_lines():
    rows = [(name, kind, 1, 0.5) for name, kind in (("a", "trained"), ("median", "median"), ("random", "random"))]
    found = drawn(plots.energy_chart(pd.DataFrame(rows, columns=["matrix", "kind", "rank", "share"]), 4))
    assert {row["kind"] for rows in found for row in rows if "kind" in row} == {"trained", "median", "random"}
    assert [{"rank": 4}] in found


def test_scaling_tells_its_rules_apart_without_colour():
    frame = pd.DataFrame(
        [(rule, 4, 1.0) for rule in ("α / r", "α / √r", "α = 2r")], columns=["rule", "rank", "scaling"]
    )
    lines = plots.scaling_chart(frame, 8).to_dict()["layer"][0]["encoding"]
    dashes = [tuple(dash) for dash in lines["strokeDash"]["scale"]["range"]]
    assert len(set(dashes)) == 3


def test_losses_come_with_their_intervals_and_the_level_of_full():
    frame = pd.DataFrame([(1, 0.3, 0.2, 0.4), (2, 0.2, 0.1, 0.3)], columns=["rank", "mean", "low", "high"])
    found = drawn(plots.loss_chart(frame, 0.1, "nats"))
    assert frame.to_dict("records") in found
    assert [{"mean": 0.1}] in found


def test_dropout_panels_share_their_height():
    frame = pd.DataFrame([("training", 0, 2.0), ("held out", 0, 2.5)], columns=["curve", "step", "loss"])
    tops = {plots.dropout_chart(frame, 4.0).to_dict()["encoding"]["y"]["scale"]["domain"][1] for _ in range(2)}
    assert tops == {4.0}

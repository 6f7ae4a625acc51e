"""Figures of memory: every byte of the records is drawn, once, in the part's colour, and the peak is marked."""

from __future__ import annotations

import json

import pytest

from peftcalc import LoRA, QLoRA
from peftcalc.memory.allowances import context_allowance, reserved_allowance
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.records import PARTS, MemoryBreakdown, MemoryTrace, TimelinePoint
from peftcalc.memory.serving.tasks import serving_table
from peftcalc.plots import memory as plots
from peftcalc.plots.evidence.accuracy import accuracy_chart
from peftcalc.plots.serving import serving_chart
from peftcalc.units import GIB

MODEL = "meta-llama/Llama-3.2-1B"


def a_trace(points: int = 3000) -> MemoryTrace:
    """A step whose bytes rise to the middle and fall again."""
    phases = ("load", "forward", "backward", "optimizer")
    breakdowns = [
        MemoryBreakdown(base_weights=GIB, saved_activations=GIB - abs(i - points // 2)) for i in range(points)
    ]
    timeline = tuple(TimelinePoint(phases[4 * i // points], "aten.mm", b) for i, b in enumerate(breakdowns))
    peak = max(b.total for b in breakdowns)
    middle = breakdowns[points // 2]
    allowances = (reserved_allowance(peak), context_allowance())
    return MemoryTrace(peak, "backward", "aten.mm", middle, timeline, points, *allowances, (2,), 2)


def test_every_part_has_a_colour_of_its_own():
    assert set(plots.PART_COLORS) == set(PARTS)
    assert len(set(plots.PART_COLORS.values())) == len(PARTS)


def test_the_legend_says_every_part_in_plain_words_beside_its_name():
    spec = plots.bars_chart({"LoRA": MemoryBreakdown(adapters=1)}).to_dict()
    label = spec["layer"][0]["encoding"]["color"]["legend"]["labelExpr"]
    said = json.loads(label.removesuffix("[datum.label]"))
    assert said == {words: f"{words}: {plots.PLAIN[part]}" for part, words in PARTS.items()}
    assert max(map(len, said.values())) <= 36, "wider than a telephone"


def test_the_rows_of_the_bars_hold_every_byte():
    bars = {m.label: estimate_memory(MODEL, m, 1, 512) for m in (LoRA(rank=8), QLoRA(rank=8))}
    frame = plots.breakdown_rows(bars)
    assert frame.groupby("bar")["bytes"].sum().to_dict() == {label: b.total for label, b in bars.items()}


def test_the_cards_line_stands_where_the_reserve_begins():
    bars = {"LoRA": estimate_memory(MODEL, LoRA(rank=8), 1, 512)}
    drawn = json.dumps(plots.bars_chart(bars, usable=24 * GIB, card="RTX 4090", reserve=2 * GIB).to_dict())
    assert '"gib": 22.0' in drawn
    assert "RTX 4090" in drawn
    assert "small matrices beside a frozen model" in drawn
    assert "RTX 4090" not in json.dumps(plots.bars_chart(bars).to_dict())


def test_a_long_timeline_is_thinned_and_keeps_its_peak():
    trace = a_trace()
    chosen = trace.telling_points(100)
    assert len(chosen) < 120
    assert len(trace.timeline) // 2 in chosen
    spec = plots.timeline_chart(trace, most=100).to_dict()
    assert f"peak {plots.gib(trace.peak)}" in json.dumps(spec, ensure_ascii=False)
    assert len(json.dumps(spec)) < 400_000


@pytest.mark.parametrize("error", [-0.2, 0.0, 0.3])
def test_the_accuracy_figure_holds_every_prediction(error):
    import pandas as pd

    row = {"id": "a", "source": "https://example.org", "method": "LoRA", "measured": 10 * GIB, "by": "simulated"}
    frame = pd.DataFrame([{**row, "predicted": (1 + error) * 10 * GIB, "error": error}])
    spec = json.dumps(accuracy_chart(frame).to_dict())
    assert f'"y": {10 * (1 + error)}' in spec


def test_the_serving_figure_has_two_lines():
    spec = serving_chart(serving_table(MODEL, LoRA(rank=8), (1, 10))).to_dict()
    rows = next(iter(spec["datasets"].values()))
    assert {row["kind"] for row in rows} == {"one base, N adapters", "N whole models"}
    assert len(rows) == 4

"""The evidence: every measured row stands beside our answer, and what was calibrated with is marked."""

from __future__ import annotations

import json
import statistics

import pytest

import peftcalc as pc
from peftcalc.evidence.measured import measured
from peftcalc.evidence.models import TABLE, row_model
from peftcalc.evidence.quality import DISAGREEMENT, pareto, quality_runs
from peftcalc.evidence.rows import evidence_rows


def test_every_row_has_a_source_and_an_answer():
    table = pc.evidence()
    assert len(table) == len(measured()) + 34
    assert table.index.is_unique
    assert table["source"].str.contains("https://").all()
    expected = 100 * (table["estimated_bytes"] / table["measured_bytes"] - 1)
    unrounded = table["error_percent"] != 0
    assert table.loc[unrounded, "error_percent"].tolist() == pytest.approx(expected[unrounded].tolist())
    assert set(table["card"]) >= {"T4", "A100 80GB", "RTX 4080", "H200", "L40S"}


def test_a_row_can_be_asked_again_from_its_own_columns():
    row = next(row for row in evidence_rows() if row.id == "fms:llama2-70b qlora b4")
    method = pc.QLoRA(rank=row.rank, alpha=16, dropout=0.1, targets=row.targets.split())
    options = json.loads(row.options) | {"card": row.card}
    assert pc.estimate_memory(row.model, method, row.batch, row.sequence, **options).total == row.estimated_bytes


def test_rows_that_set_a_rule_are_marked():
    marked = {row.id for row in evidence_rows() if row.used_for_calibration}
    of_rules = {row.id for row in evidence_rows() if row.id.startswith(("peft-", "dorafactors")) or row.gpus == 2}
    assert of_rules == marked
    assert all(row.reserve_used_for for row in evidence_rows() if row.gpus == 2)
    assert all(row.used_for for row in evidence_rows() if row.used_for_calibration)


BARS = {("fused", 1): (1.0, 4.0), ("written out", 1): (1.5, 4.0), ("fused", 2): (8.0, 15.0)}
"""Mean and worst error in per cent that the project allows itself, by how attention ran and by cards."""


@pytest.mark.parametrize(("kind", "bars"), BARS.items())
def test_the_bars_on_rows_that_judge(kind, bars):
    attention, cards = kind
    errors = [
        abs(row.error_percent)
        for row in evidence_rows()
        if row.setup == "known" and row.gpus == cards
        if cards == 2 or not row.used_for_calibration  # there is no row of two cards but those a rule was found with
        if (row.attention == "eager") == (attention == "written out")
    ]
    assert len(errors) >= 3
    assert (statistics.mean(errors) <= bars[0], max(errors) <= bars[1]) == (True, True)


@pytest.mark.slow
def test_stored_shapes_are_those_that_transformers_builds():
    for record in json.loads(TABLE.read_text(encoding="utf-8")):
        assert row_model(record["config"]) == pc.load_model(record["config"])


def test_the_published_figures_of_quality():
    by_name = {run.name.removeprefix("lora/llama-3.2-3B-"): run for run in quality_runs()}
    lora, dora = by_name["rank32"], by_name["rank32-dora"]
    assert (round(lora.accuracy_percent, 1), round(dora.accuracy_percent, 1)) == (47.8, 46.9)
    assert f"{dora.accuracy_percent:.1f} %" in DISAGREEMENT
    assert (round(lora.step_seconds), round(dora.step_seconds)) == (585, 707)
    assert by_name["rank64-rslora"].method == pc.LoRA(rank=64, alpha=64, targets=["v_proj", "q_proj"], rslora=True)
    assert by_name["rank14-target-mlp-bdlora"].method is None
    assert len(quality_runs()) == 63


@pytest.mark.parametrize("cost", ["reserved_bytes", "step_seconds"])
def test_nothing_beats_a_run_of_the_front_and_something_every_other(cost):
    front = pareto(quality_runs(), cost)
    for run in quality_runs():
        beaten = any(
            getattr(other, cost) <= getattr(run, cost)
            and other.accuracy_percent >= run.accuracy_percent
            and (getattr(other, cost), other.accuracy_percent) != (getattr(run, cost), run.accuracy_percent)
            for other in quality_runs()
        )
        assert beaten == (run.name not in front)

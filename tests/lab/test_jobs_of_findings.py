"""The two kinds of work behind the live runs of the Findings page, called as the workers call them.

Tolerance of a stacked run against `finetune`: 1e-5 relative, as in `test_stacked.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peftcalc.geometry.intruders import intruder_dimensions
from peftcalc.lab.runs import intruder_job as intruders
from peftcalc.lab.stacked import job as stacked
from peftcalc.lab.training_jobs import start

UNUSED = Path()
SHORT = {"task": "rank", "steps": 4, "evaluations": 2}
LORA = {**SHORT, "method": "lora", "rank": 2, "alpha": 6, "learning_rate": 1e-2}
FULL = {**SHORT, "method": "full", "learning_rate": 3e-3, "seed": 1}


def told(ticks: Any) -> list[dict[str, Any]]:
    return [record for _, _, records in ticks for record in records]


def looks_of(name: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["run"] == name]


def test_a_job_of_stacked_runs_tells_what_finetune_finds():
    groups = [[{**LORA, "run": "0"}, {**FULL, "run": "1"}], [{**LORA, "seed": 2, "run": "2"}]]
    records = told(stacked.stacked_runs({"groups": groups}, UNUSED))
    for name, asked in (("0", LORA), ("1", FULL), ("2", {**LORA, "seed": 2})):
        expected = [record for record in start(asked) if record.validation is not None]
        found = looks_of(name, records)
        assert [look["step"] for look in found] == [record.step for record in expected]
        assert [look["validation"] for look in found] == pytest.approx([r.validation for r in expected], rel=1e-5)
        assert [look["trainable"] for look in found] == [record.trainable for record in expected]


def test_its_step_and_progress_go_on_from_one_stack_to_the_next():
    groups = [[{**LORA, "run": "0"}], [{**LORA, "seed": 1, "run": "1"}]]
    ticks = [(step, progress) for step, progress, _ in stacked.stacked_runs({"groups": groups}, UNUSED)]
    assert [step for step, _ in ticks] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]
    assert [progress for _, progress in ticks] == [step / 8 for step, _ in ticks]


def test_a_run_that_diverged_says_so():
    wild = {**FULL, "learning_rate": 1e6, "steps": 12, "run": "0"}
    *_, last = told(stacked.stacked_runs({"groups": [[wild]]}, UNUSED))
    *_, alone = start({key: value for key, value in wild.items() if key != "run"})
    assert last["stopped"] == alone.stopped
    assert last["stopped"]


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ([], r"the number of runs must be between 1 and 400, got 0"),
        ([[{**LORA, "run": "0"}] * 401], r"the number of runs must be between 1 and 400, got 401"),
        ([[{**LORA, "dropout": 0.1, "run": "7"}]], r"run 7 must be one that can be stacked"),
        ([[{**LORA, "task": "names", "run": "7"}]], r"run 7 must be one that can be stacked"),
        ([[{**LORA, "rank": 0, "run": "0"}]], r"rank"),
        ([[{**LORA, "learning_rate": -1.0, "run": "0"}]], r"learning_rate"),
    ],
    ids=["none", "too many", "dropout", "a character model", "rank", "rate"],
)
def test_what_cannot_be_run_stacked_is_refused_before_it_begins(groups, sentence):
    with pytest.raises(ValueError, match=sentence):
        next(stacked.stacked_runs({"groups": groups}, UNUSED))


def test_a_job_of_intruders_tells_the_matrices_of_finetune():
    ticks = list(intruders.intruder_job({"runs": [{**LORA, "run": "lora"}, {**FULL, "run": "full"}]}, UNUSED))
    assert [step for step, _, _ in ticks] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]
    records = told(ticks)
    for name, asked in (("lora", LORA), ("full", FULL)):
        *_, last = (run := start(asked))
        found = {r["matrix"]: r for r in looks_of(name, records) if r["step"] == last.step and "matrix" in r}
        (ends,) = [r for r in looks_of(name, records) if r["step"] == last.step and "validation" in r]
        assert ends["validation"] == pytest.approx(last.validation, rel=1e-6)
        matrices = run.student.matrices()
        assert set(found) == set(matrices)
        for matrix, (before, after) in matrices.items():
            expected = intruder_dimensions(before, after)
            for part in ("before", "after", "cosines"):  # 4 decimals are told
                assert found[matrix][part] == pytest.approx(getattr(expected, part), abs=6e-5)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([], r"the number of runs must be between 1 and 8, got 0"),
        ([{**LORA, "run": "0"}] * 9, r"the number of runs must be between 1 and 8, got 9"),
        ([{**LORA, "rank": 0, "run": "0"}], r"rank"),
        ([{**LORA, "steps": 0, "run": "0"}], r"steps"),
    ],
    ids=["none", "too many", "rank", "steps"],
)
def test_what_cannot_be_looked_at_is_refused(runs, sentence):
    with pytest.raises(ValueError, match=sentence):
        next(intruders.intruder_job({"runs": runs}, UNUSED))

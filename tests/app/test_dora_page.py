"""The DoRA page: arrows whose numbers are the core's, panels from stored and own runs, honest verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.jobs.job import Job
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.ui import live
from peftcalc.ui.lessons import dora as data

ROOT = Path(__file__).parents[2]


def open_page(**query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/dora.py"), default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def text(test: AppTest) -> str:
    kinds = ("markdown", "caption", "info")
    return "\n".join(str(e.value) for kind in kinds for e in getattr(test, kind)).replace("\\", "")


def test_the_arrows_numbers_are_those_of_the_link():
    test = open_page(turn="60°", stretch="2")
    assert not test.exception
    assert [metric.value for metric in test.metric[:2]] == ["1.4866", "0.5000"]


def test_no_change_is_zero():
    assert [metric.value for metric in open_page(turn="0°", stretch="1").metric[:3]] == ["0.0000"] * 3


def test_the_papers_values_stand_beside_ours_with_points_and_matrices():
    said = text(open_page())
    for value in ("-0.62", "-0.31", "+0.83"):
        assert f"The paper: {value}" in said
    assert said.count("48 points from 12 matrices") == 4
    assert "stored run" in said


def test_every_switch_is_in_the_link():
    said = {
        text(open_page(**query)).partition("What reproduces")[2][:400]
        for query in ({}, {"decay": "0.3"}, {"norm": "column"}, {"relative": "true"})
    }
    assert len(said) == 4


def test_a_run_of_ones_own_is_drawn_as_far_as_it_has_come():
    job = Job("ada", "moves", [{}])
    job.state = "done"
    half = [r for r in stored_lesson("dora-moves").records if r["run"].endswith("-1-0.3") and r["step"] <= 150]
    job.records += half
    test = AppTest.from_file(str(ROOT / "pages/dora.py"), default_timeout=120)
    test.session_state[live._key("dora")] = job
    test.session_state["_moves"] = (0.3, 1)
    test.run()
    assert not test.exception
    said = text(test)
    assert "measured: weight decay 0.3, base model 1" in said
    assert said.count("24 points from 12 matrices") == 4


def test_a_run_without_a_checkpoint_has_a_sentence():
    job = Job("ada", "moves", [{}])
    job.state = "done"
    test = AppTest.from_file(str(ROOT / "pages/dora.py"), default_timeout=120)
    test.session_state[live._key("dora")] = job
    test.session_state["_moves"] = (0.0, 0)
    test.run()
    assert not test.exception
    assert "first checkpoint" in text(test)


@pytest.mark.parametrize("decay", data.DECAYS)
def test_the_stored_run_holds_every_base_and_method(decay):
    runs = {record["run"] for record in stored_lesson("dora-moves").records}
    for base in data.BASES:
        assert {run["run"] for run in data.move_runs(decay, base)} <= runs


def test_the_runs_of_the_page_can_be_started():
    from peftcalc.lab.training_jobs import start
    from peftcalc.lab.work import KINDS

    (full, *_) = data.move_runs(0.3, 0)
    arguments = {key: value for key, value in full.items() if key not in ("run", "rows")}
    assert next(start(arguments)).steps == 300
    assert "moves" in KINDS

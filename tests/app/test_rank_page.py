"""The Rank page: the floor before training, trained points on it, scaling, and runs of one's own."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.geometry.rank_bound import SPECTRA, known_floor
from peftcalc.jobs.job import Job
from peftcalc.ui import live
from peftcalc.ui.lessons import rank as data

ROOT = Path(__file__).parents[2]


def open_page(**query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/rank.py"), default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def text(test: AppTest) -> str:
    return "\n".join(str(element.value) for kind in ("markdown", "caption", "info") for element in getattr(test, kind))


def test_a_link_restores_the_scaling():
    test = open_page(alpha="16", r="256", rslora="true", k="8", spectrum="decaying")
    assert not test.exception
    assert test.metric[0].value == "1"
    assert test.select_slider(key="k").value == 8


def test_a_link_with_an_unknown_value_falls_back_with_a_sentence():
    test = open_page(k="7", alpha="16", r="64")
    assert test.select_slider(key="k").value == 4
    assert test.metric[0].value == "0.25"
    assert "k = 7" in text(test).replace("\\", "")


def test_stored_runs_are_labelled_and_dated():
    said = text(open_page())
    assert said.count("stored run") >= 3
    assert "torch" in said


def test_the_recommendation_of_the_paper_is_there():
    assert "0.1 for models of 7 to 13 billion" in text(open_page())


def test_a_run_of_ones_own_takes_the_place_of_the_stored_one():
    job = Job("ada", "finetune", [{}])
    job.records += [{"run": "2", "step": 300, "steps": 300, "loss": 0.51}]
    job.state = "done"
    test = AppTest.from_file(str(ROOT / "pages/rank.py"), default_timeout=120)
    test.session_state[live._key("rank")] = job
    test.session_state["_teacher"] = (4, "equal")
    test.run()
    assert not test.exception
    assert "measured: teacher of rank 4" in text(test)
    assert "Reset" in {button.label for button in test.button}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("teacher_rank", data.TEACHER_RANKS)
def test_the_stored_runs_end_on_the_floor_and_never_below(teacher_rank, spectrum):
    floor = known_floor(teacher_rank, spectrum)
    for rank, losses in data.trained_losses(teacher_rank, spectrum).items():
        assert all(floor[rank] - 1e-4 < loss < floor[rank] + 0.02 for loss in losses), rank


def test_full_fine_tuning_of_the_stored_runs_was_made_with_the_same_seeds():
    for task in ("digits", "names"):
        losses = data.real_losses(task)
        assert len({len(values) for values in losses.values()}) == 1
        assert statistics.fmean(losses["1"]) > statistics.fmean(losses["16"])


def test_dropout_is_measured_at_every_rate():
    for rate in data.DROPOUT_RATES:
        assert 0 < data.dropout_end(rate, "training") < data.dropout_end(rate, "validation")

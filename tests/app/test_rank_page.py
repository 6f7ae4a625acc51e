"""The Rank page: the floor before training, trained points on it, scaling, and runs of one's own."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.geometry.rank_bound import SPECTRA, known_floor
from peftcalc.geometry.spectrum import rank_of
from peftcalc.jobs.job import Job
from peftcalc.ui import live
from peftcalc.ui.lessons import rank as data

ROOT = Path(__file__).parents[2]
SECTIONS = ("a known rank", "a real update", "alpha", "dropout")
GUESSED = {
    "_guess_known": "A quarter",
    "_guess_real": "More than half",
    "_guess_scaling": "It stays",
    "_guess_dropout": "Without dropout",
}


def page(section: str = SECTIONS[0], guessed: bool = False, **query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/rank.py"), default_timeout=120)
    for key, value in {**query, "section": section}.items():
        test.query_params[key] = value
    for key, value in GUESSED.items() if guessed else ():
        test.session_state[key] = value
    return test


def opened(section: str = SECTIONS[0], guessed: bool = False, **query: str) -> AppTest:
    test = page(section, guessed, **query).run()
    assert not test.exception
    return test


def text(test: AppTest) -> str:
    """What is written: as Markdown, and on the cards."""
    found = [str(element.value) for kind in ("markdown", "caption", "info") for element in getattr(test, kind)]
    return "\n".join([*found, *(element.proto.body for element in test.get("html"))])


@pytest.mark.parametrize("guessed", [False, True])
@pytest.mark.parametrize("section", SECTIONS)
def test_presets_and_prompts_of_every_section_move_it(section, guessed):
    test = opened(section, guessed)
    for key in [b.key for b in test.button if b.key and ("-preset-" in b.key or "-try-" in b.key)]:
        test.button(key=key).click().run()
        assert not test.exception, key
        assert not test.error, key


def test_a_link_restores_the_scaling():
    assert opened("alpha", alpha="16", r="256", rslora="true").metric[0].value == "1"


def test_a_link_restores_the_teacher():
    assert opened(k="8", spectrum="decaying").select_slider(key="k").value == 8


def test_a_link_with_an_unknown_value_falls_back_with_a_sentence():
    test = opened(k="7")
    assert test.select_slider(key="k").value == 4
    assert "k = 7" in text(test).replace("\\", "")


@pytest.mark.parametrize(
    ("section", "hidden"),
    [
        ("a known rank", "Eckart and Young"),
        ("a real update", "of a matrix's change"),
        ("dropout", "held out 3."),
    ],
)
def test_an_answer_opens_with_the_guess(section, hidden):
    assert hidden not in text(opened(section))
    assert hidden in text(opened(section, guessed=True))


def test_the_scaling_of_other_ranks_opens_with_the_guess():
    charts = [len(opened("alpha", guessed).get("vega_lite_chart")) for guessed in (False, True)]
    assert charts == [0, 1]


def test_stored_runs_are_labelled_and_dated():
    for section in ("a known rank", "a real update", "dropout"):
        said = text(opened(section, guessed=True))
        assert "stored run" in said
        assert "torch" in said


def test_the_recommendation_of_the_paper_is_there():
    assert "0.1 for models of 7 to 13 billion" in text(opened("dropout"))


def test_a_run_of_ones_own_takes_the_place_of_the_stored_one():
    job = Job("ada", "finetune", [{}])
    job.records += [{"run": "2", "step": 300, "steps": 300, "loss": 0.51}]
    job.state = "done"
    for guessed in (False, True):
        test = page(guessed=guessed)
        test.session_state[live._key("rank")] = job
        test.session_state["_teacher"] = (4, "equal")
        test.run()
        assert not test.exception
        assert ("measured: teacher of rank 4" in text(test)) is guessed
        assert "Reset" in {button.label for button in test.button}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("teacher_rank", data.TEACHER_RANKS)
def test_the_stored_runs_end_on_the_floor_and_never_below(teacher_rank, spectrum):
    floor = known_floor(teacher_rank, spectrum)
    for rank, losses in data.trained_losses(teacher_rank, spectrum).items():
        assert all(floor[rank] - 1e-4 < loss < floor[rank] + 0.02 for loss in losses), rank


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("teacher_rank", data.TEACHER_RANKS)
def test_the_update_that_is_drawn_has_the_teachers_rank_and_spectrum(teacher_rank, spectrum):
    _, B, A = data.teacher_factors(teacher_rank, spectrum, 16)
    left = 1 - rank_of(B @ A).energy
    assert left[:teacher_rank] == pytest.approx(known_floor(teacher_rank, spectrum)[1 : teacher_rank + 1], abs=1e-12)


def test_a_shorter_matrix_is_whole_at_its_largest_rank():
    assert data.energy_within("digits", 64, "trained") == pytest.approx(1)
    assert data.energy_within("digits", 4, "random") < data.energy_within("digits", 4, "trained") < 1


def test_full_fine_tuning_of_the_stored_runs_was_made_with_the_same_seeds():
    for task in ("digits", "names"):
        losses = data.real_losses(task)
        assert len({len(values) for values in losses.values()}) == 1
        assert statistics.fmean(losses["1"]) > statistics.fmean(losses["16"])


def test_dropout_is_measured_at_every_rate():
    for rate in data.DROPOUT_RATES:
        assert 0 < data.dropout_end(rate, "training") < data.dropout_end(rate, "validation")


def test_the_product_stands_where_a_preset_of_alpha_puts_it():
    for preset in data.SCALING.presets:
        volume = preset.parameters["volume"].get("alpha", 2) / 2
        if "alpha" in preset.parameters and not preset.parameters["rslora"]:
            assert math.isclose(volume, preset.parameters["alpha"] / preset.parameters["r"])
    assert np.isclose(data.SCALING.presets[-1].parameters["volume"]["alpha"], 0)

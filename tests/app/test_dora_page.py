"""The DoRA page: an arrow whose numbers are the core's, panels from stored and own runs, honest verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.geometry.direction import decompose
from peftcalc.jobs.job import Job
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.plots.direction import START
from peftcalc.ui import live
from peftcalc.ui.components.arrow import arrow_data, arrow_parts
from peftcalc.ui.components.parts import checked
from peftcalc.ui.dora import moves
from peftcalc.ui.lessons import dora as data

ROOT = Path(__file__).parents[2]
SECTIONS = ("one arrow", "matrices", "neurons", "knock-out")
GUESSED = {"_guess_moves": "Not at all", "_guess_knock": "At none up to 32"}


def page(section: str = SECTIONS[0], guessed: bool = False, **query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/dora.py"), default_timeout=120)
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
    kinds = ("markdown", "caption", "info")
    return "\n".join(str(e.value) for kind in kinds for e in getattr(test, kind)).replace("\\", "")


def charts(test: AppTest) -> int:
    return len(test.get("vega_lite_chart"))


@pytest.mark.parametrize("guessed", [False, True])
@pytest.mark.parametrize("section", SECTIONS)
def test_presets_and_prompts_of_every_section_move_it(section, guessed):
    test = opened(section, guessed)
    for key in [b.key for b in test.button if b.key and ("-preset-" in b.key or "-try-" in b.key)]:
        test.button(key=key).click().run()
        assert not test.exception, key
        assert not test.error, key


def test_a_preset_moves_the_arrows_tip_and_its_formula_follows():
    test = page()
    test.session_state["fold-arrow"] = True
    test.run().button(key="arrow-preset-0").click().run()
    told = " ".join(str(formula.value) for formula in test.latex)
    moved = decompose([START], [[2.45, 0.875]])
    assert test.query_params["arrow"] == "x:2.45;y:0.875"
    assert f"= {moved.magnitude_change:.4f}" in told
    assert f"= {moved.direction_change:.4f}" in told


def test_what_presets_and_prompts_ask_of_the_arrow_is_within_its_reach():
    parts = arrow_parts(arrow_data())
    for asked in (*data.ARROW.presets, *data.ARROW.try_this):
        assert checked(parts, asked.parameters["arrow"]) == asked.parameters["arrow"]


def test_the_papers_values_stand_beside_ours_with_points_and_matrices():
    said = text(opened("matrices"))
    for value in ("−0.62", "−0.31", "+0.83"):
        assert f"the paper {value}" in said
    assert "48 points from 12 matrices" in said
    assert "stored run" in said


def test_the_random_panel_and_all_that_tells_of_it_opens_with_the_guess():
    asked = opened("matrices")
    assert charts(asked) == 3
    assert "Untrained random updates" not in text(asked)
    answered = opened("matrices", guessed=True)
    assert charts(answered) == 4
    assert "Untrained random updates" in text(answered)
    assert (charts(opened("neurons")), charts(opened("neurons", guessed=True))) == (3, 4)


def test_loras_curve_opens_with_the_guess():
    for guessed, columns in ((False, ["rank", "DoRA"]), (True, ["rank", "DoRA", "LoRA"])):
        test = page("knock-out", guessed)
        test.session_state["fold-knock-table"] = True
        test.run()
        assert list(test.dataframe[0].value.columns) == columns


def test_every_switch_is_in_the_link():
    said = {
        text(opened("matrices", **query)).partition("What reproduces")[2][:400]
        for query in ({}, {"decay": "0.3"}, {"norm": "column"}, {"relative": "true"})
    }
    assert len(said) == 4


def test_a_run_of_ones_own_is_drawn_as_far_as_it_has_come():
    job = Job("ada", "moves", [{}])
    job.state = "done"
    half = [r for r in stored_lesson("dora-moves").records if r["run"].endswith("-1-0.3") and r["step"] <= 150]
    job.records += half
    test = page("matrices")
    test.session_state[live._key("dora")] = job
    test.session_state["_moves"] = (0.3, 1)
    test.run()
    assert not test.exception
    said = text(test)
    assert "measured: weight decay 0.3, base model 1" in said
    assert "24 points from 12 matrices" in said
    assert "stored run" not in said


def test_the_rows_of_a_run_of_ones_own_are_drawn_at_its_end():
    job = Job("ada", "moves", [{}])
    job.state = "done"
    job.records += [r for r in stored_lesson("dora-moves").records if r["run"].endswith("-0-0.3")]
    test = page("neurons")
    test.session_state[live._key("dora")] = job
    test.session_state["_moves"] = (0.3, 0)
    test.run()
    assert not test.exception
    assert "measured: weight decay 0.3, base model 0" in text(test)


def test_a_run_without_a_checkpoint_has_a_sentence():
    job = Job("ada", "moves", [{}])
    job.state = "done"
    test = page("matrices")
    test.session_state[live._key("dora")] = job
    test.session_state["_moves"] = (0.0, 0)
    test.run()
    assert not test.exception
    assert "first checkpoint" in text(test)
    assert charts(test) == 3


def test_what_is_stored_is_worked_out_once_for_all_visitors():
    first = moves.stored_matrix_panels("0-0", "row", False)
    assert moves.stored_matrix_panels("0-0", "row", False) is first
    assert moves.stored_matrix_panels.cache_info().maxsize == moves.KEPT


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

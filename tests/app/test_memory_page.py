"""Memory: the first screen, what is computed when it is opened, a card that is chosen by its row, hours and money."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc import LoRA, QLoRA, estimate_serving, estimate_speed, run_cost, units
from peftcalc.evidence.rows import evidence_rows
from peftcalc.memory.fit import fit
from peftcalc.methods import METHODS, make_method
from peftcalc.ui import show
from peftcalc.ui.memory.answer import said

PAGE = str(Path(__file__).parents[2] / "pages" / "memory.py")
LLAMA = "meta-llama/Llama-3.1-8B"


def opened(**query: str) -> AppTest:
    test = AppTest.from_file(PAGE, default_timeout=120)
    for key, value in {"table": "true", **query}.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception
    assert not test.error
    return test


@pytest.fixture
def charts(monkeypatch) -> list:
    """The charts that the page draws, in order, each with its alternative text."""
    drawn: list = []
    monkeypatch.setattr(show, "chart", lambda chart, alt, key=None: drawn.append((chart, alt)))
    return drawn


@pytest.mark.parametrize(
    ("card", "model", "line"),
    [
        ("RTX 4090", LLAMA, "On RTX 4090: ✓ LoRA, DoRA, QLoRA and QDoRA fit, ✗ Full does not."),
        ("T4", LLAMA, "On T4: ≈ QLoRA and QDoRA may just fit, ✗ Full, LoRA and DoRA do not."),
        ("T4", "meta-llama/Llama-3.1-70B", "On T4: ✗ None of the five fits."),
    ],
)
def test_one_line_says_who_fits(card, model, line):
    methods = [make_method(name, rank=16, alpha=32) for name in METHODS]
    assert re.sub(r"<[^>]+>", "", said(card, fit(model, card, methods, 1, 2048, checkpointing=True))) == line


def test_the_bars_say_the_verdict_and_the_hours(charts):
    opened(tokens="100,000,000")
    chart, alt = charts[0]
    names = {row["named"] for row in chart.data["parts"]}
    speed = estimate_speed(LLAMA, QLoRA(rank=16), "RTX 4090", checkpointing=True)
    hours = f"{run_cost(speed, 10**8).hours:,.0f} h"
    assert any(name.startswith("QLoRA") and name.endswith(f"✓ fits · {hours}") for name in names), names
    assert any(name.startswith("Full") and name.endswith("✗ does not fit") for name in names)
    assert f"fits · {hours}" in alt


def test_a_price_becomes_money():
    table = opened(price="2").dataframe[0].value
    speed = estimate_speed(LLAMA, LoRA(rank=16), "RTX 4090", checkpointing=True)
    cost = run_cost(speed, 10**7, price=2)
    assert table.set_index("method").loc["LoRA", "money"].startswith(f"{cost.money:,.2f} (")


@pytest.mark.parametrize(
    ("section", "module", "drawn"),
    [
        ("the step", "cards", "_as_csv"),
        ("cards", "serving", "serving_bars_chart"),
        ("serving", "evidence", "evidence_rows"),
    ],
)
def test_only_the_open_section_is_computed(monkeypatch, section, module, drawn):
    def fail(*asked, **named):
        raise AssertionError(f"{module} was computed")

    monkeypatch.setattr(f"peftcalc.ui.memory.{module}.{drawn}", fail)
    assert opened(section=section).session_state["_sections"] == ["the step", "cards", "serving", "evidence"]


def test_a_row_for_each_card_says_the_verdicts():
    test = opened(section="cards")
    table = test.dataframe[1].value
    assert list(table["card"])[:3] == ["T4", "V100 16GB", "RTX 3060 12GB"]
    assert "▸ RTX 4090" in set(table["card"])
    assert table.set_index("card").loc["T4", "Full"].startswith("✗ ")
    assert test.session_state["cards-table-names"][:2] == ("T4", "V100 16GB")


def test_serving_shows_what_the_library_answers(charts):
    opened(section="serving", users="4", context="8,192", adapters="5", bits="4", gpu="T4")
    chart, alt = charts[-1]
    one = estimate_serving(LLAMA, LoRA(rank=16, alpha=32), "T4", 8192, 4, 5, 4)
    assert f"beside: {units.gib(one.total)}, {one.verdict}" in alt
    weights = next(row for row in chart.data["served"] if row["part"] == "weights")
    assert weights["text"] == units.gib(one.weights)


def test_the_evidence_shows_every_row_whose_set_up_is_known():
    shown = opened(section="evidence").dataframe[1].value
    assert len(shown) == sum(row.setup.startswith("known") for row in evidence_rows())
    everything = opened(section="evidence", rows="all").dataframe[1].value
    assert len(everything) == len(evidence_rows())


def test_quality_is_joined_to_the_visitors_model_and_both_sources_are_shown():
    test = opened(section="evidence", evidence="accuracy, published by PEFT", gpu="T4")
    joined = test.dataframe[1].value.set_index("run")
    assert joined.loc["full-finetuning-lr_0.00001", "verdict here"] == "does not fit"
    assert any("DoRA (46.9 %) stands below LoRA (47.8 %)" in note.value for note in test.info)


def test_a_model_on_which_peft_refuses_dora_has_three_bars(charts):
    test = opened(model="mistralai/Mixtral-8x7B-v0.1", gpu="H200")
    assert {row["bar"] for row in charts[0][0].data["parts"]} == {"Full", "LoRA", "QLoRA"}
    assert any(note.value.startswith("without DoRA and QDoRA") for note in test.info)


def test_the_guess_moves_the_model_too():
    test = opened()
    test.selectbox(key="model").set_value("openai-community/gpt2").run()
    test.button_group(key="memory-guess").set_value("DoRA").run()
    assert not test.exception
    assert test.selectbox(key="model").value == LLAMA
    assert test.toggle(key="checkpointing").value is False


def test_the_precision_is_the_cards_own_until_one_is_chosen():
    """No note where nobody chose bfloat16 on a card that has none."""
    notes = {}
    for query in ({}, {"dtype": "bfloat16"}):
        test = opened(gpu="T4", model="meta-llama/Llama-3.2-1B", **query)
        notes[query.get("dtype", "")] = [text.value for text in (*test.caption, *test.info, *test.warning)]
    assert not any("choose float16" in text for text in notes[""])
    assert any("choose float16" in text for text in notes["bfloat16"])

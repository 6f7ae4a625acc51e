"""The Parameters page: what each tab says is what the core says, and the block's clicks are the targets of the link."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import peftcalc as pc
from peftcalc.counting.worked_example import worked_example
from peftcalc.ui.parameters import article, real_model
from peftcalc.ui.parameters.by_hand import hand_code

ROOT = Path(__file__).parents[2]
SECTIONS = ("by hand", "one matrix", "a real model", "your adapter")
GPT2 = "openai-community/gpt2"


def open_page(section: str = "a real model", **query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/parameters.py"), default_timeout=120)
    for key, value in {"section": section, **query}.items():
        test.query_params[key] = value
    return test.run()


def view(page: AppTest) -> dict:
    [one] = [json.loads(one.proto.bytes) for one in page.main if one.type == "bidi_component"]
    return one


@pytest.mark.parametrize("section", SECTIONS)
def test_every_tab_opens_with_a_result_and_its_examples_move_it(section: str) -> None:
    page = open_page(section)
    assert not page.exception
    assert not page.error
    assert list(page.session_state["_sections"]) == list(SECTIONS)
    for key in [b.key for b in page.button if b.key and re.search(r"-(preset|try)-\d+$", b.key)]:
        page.button(key=key).click().run()
        assert not page.exception, key
        assert not page.error, key


def test_a_base_in_four_bits_has_the_total_that_older_stacks_print() -> None:
    link = {"model": "EleutherAI/gpt-neox-20b", "rank": "8", "targets": "query_key_value"}
    said = [str(info.value) for info in open_page(**link, method="QLoRA").info]
    assert any("10,597,552,128" in text and "20,563,218,432" in text for text in said)
    assert not any("older stacks" in str(info.value) for info in open_page(**link, method="LoRA").info)


def test_a_pattern_that_python_reads_otherwise_is_a_sentence() -> None:
    errors = open_page(model="meta-llama/Llama-3.2-1B", pattern=".*[[:alpha:]]_proj").error
    assert any("Python's re, which peft uses" in str(error.value).replace("\\", "") for error in errors)


def test_a_method_that_peft_refuses_on_this_model_is_a_sentence_beside_the_others() -> None:
    page = open_page(model="deepseek-ai/DeepSeek-V3")
    assert not page.error
    assert any("peft refuses DoRA" in str(c.value).replace("\\", "") for c in page.caption)


def test_the_block_shows_what_is_counted_and_its_clicks_are_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page(model=GPT2, targets="c_attn", method="QDoRA", rank="4")
    shown = view(page)
    counted = pc.count(GPT2, pc.QDoRA(rank=4))
    adds = {part.suffix: part.each for part in counted.parts}
    assert {box["name"]: box["adds"] for box in shown["boxes"]} == adds
    assert shown["boxes"][0]["sum"] == f"4 · (768 + 2,304) + 2,304 = {adds['c_attn']:,}"
    assert (shown["view"], shown["four"], shown["state"]) == ("block", 1, {"chosen": [0]})
    asked: list[dict] = []
    monkeypatch.setattr(real_model.state, "set_controls", asked.append)
    real_model._choose_targets(["c_attn", "c_fc"])
    assert asked == [{"targets": ["c_attn", "c_fc"]}]
    locked = view(open_page(model=GPT2, pattern=r".*\.c_attn"))
    assert {box["pick"] for box in locked["boxes"]} == {-1}
    assert [box["name"] for box in locked["boxes"] if box["lit"]] == ["c_attn"]


def test_the_rows_of_the_article_are_its_own() -> None:
    with (ROOT / "tests/data/article_tables.csv").open() as file:
        rows = [
            (int(row["total_parameters"]), int(row["rank"]), row["percentage_as_printed"])
            for row in csv.DictReader(file)
        ]
    assert list(article.ROWS) == rows
    page = open_page("one matrix")
    table = page.dataframe[0].value
    assert list(table["Parameters"]) == list(article.BY_SIZE)
    assert list(table["As the article prints it"]) == list(article.BY_SIZE.values())


def test_the_update_by_hand_is_a_product_of_any_side_and_a_guess_makes_it_larger() -> None:
    page = open_page("by hand")
    assert view(page)["W"] == worked_example(5).W.tolist()
    page.get("pills")[0].set_value("20 %").run()
    assert not page.exception
    shown = view(page)
    assert (len(shown["W"]), len(shown["A"])) == (10, 10)
    assert hand_code(10, 0, 1, 1, [0, 2, 3, 5]).endswith("print(example.W + example.B @ example.A)")  # not of rank 1

"""The Parameters page says what a count says: the total that older stacks print, and a pattern that fits nothing."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]


def open_page(**query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/parameters.py"), default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def test_a_base_in_four_bits_has_the_total_that_older_stacks_print() -> None:
    link = {"model": "EleutherAI/gpt-neox-20b", "rank": "8", "targets": "query_key_value"}
    said = [str(info.value) for info in open_page(**link, method="QLoRA").info]
    assert any("10,597,552,128" in text and "20,563,218,432" in text for text in said)
    assert not any("older stacks" in str(info.value) for info in open_page(**link, method="LoRA").info)


def test_a_pattern_that_python_reads_otherwise_is_a_sentence() -> None:
    errors = open_page(model="meta-llama/Llama-3.2-1B", pattern=".*[[:alpha:]]_proj").error
    assert any("Python's re, which peft uses" in str(error.value).replace("\\", "") for error in errors)

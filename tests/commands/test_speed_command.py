"""`peftcalc speed`: the same numbers as the function, and one line on bad input."""

from __future__ import annotations

import json

import pytest

from peftcalc.cli import main
from peftcalc.methods import QLoRA
from peftcalc.speed.estimate import estimate_speed

MODEL = "HuggingFaceTB/SmolLM2-135M"


def test_json_holds_what_the_function_answers(capsys):
    words = ["speed", MODEL, "--method", "qlora", "--card", "A100 80GB", "--batch", "4", "--kernels", "fused", "--json"]
    assert main([*words, "--examples", "1e4", "--epochs", "3", "--price", "1.5"]) == 0
    record = json.loads(capsys.readouterr().out)
    expected = estimate_speed(MODEL, QLoRA(alpha=16), "A100 80GB", batch=4, kernels="fused")
    assert record["tokens_per_second"] == expected.tokens_per_second
    assert record["run"]["tokens"] == 3 * 10_000 * 2048
    assert record["run"]["money"] == pytest.approx(1.5 * record["run"]["hours"])


def test_the_table_ends_with_the_whole_step_and_the_price(capsys):
    assert main(["speed", MODEL, "T4", "--tokens", "1M", "--price", "0.35"]) == 0
    out = capsys.readouterr().out
    for words in ("one step", "tokens a second (between", "At 0.35 an hour", "has no bfloat16"):
        assert words in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--price", "1"], "need the size of the data"),
        (["--kernels", "fusd"], "did you mean 'fused'"),
        (["--tokens", "1", "--examples", "1"], "either tokens or examples"),
    ],
)
def test_bad_input_is_one_line(words, said, capsys):
    assert main(["speed", MODEL, "T4", *words]) == 2
    assert said in capsys.readouterr().err

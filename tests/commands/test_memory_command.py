"""`python -m peftcalc memory`: a table, JSON with the attribute names, a card, and one line for bad input."""

from __future__ import annotations

import argparse
import json

import pytest

from peftcalc import QLoRA
from peftcalc.commands import NO, memory
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.records import PARTS

MODEL = "meta-llama/Llama-3.2-1B"


def call(*words: str) -> int | None:
    """Run the command as the program does; what it returns."""
    parser = argparse.ArgumentParser()
    memory.add(parser.add_subparsers())
    arguments = parser.parse_args(["memory", *words])
    return arguments.run(arguments)


def test_json_has_the_attribute_names_and_whole_bytes(capsys):
    call(MODEL, "--method", "qlora", "--rank", "16", "--batch", "1", "--sequence", "2048", "--json")
    record = json.loads(capsys.readouterr().out)
    expected = estimate_memory(MODEL, QLoRA(rank=16, alpha=32), 1, 2048)
    assert record["peak"] == record["total"] == expected.total
    assert record["breakdown"] == expected.to_dict() == {part: record[part] for part in PARTS}
    assert sum(term["bytes"] for term in record["terms"]) == record["total"]
    assert record["kind"] == "estimated"


def test_the_table_names_every_part_and_the_peak(capsys):
    call(MODEL, "--method", "dora")
    shown = capsys.readouterr().out
    assert all(words in shown for words in PARTS.values())
    assert "estimated" in shown
    assert "peak" in shown


@pytest.mark.parametrize(("card", "words", "code"), [("T4", "does not fit", NO), ("A100 80GB", "usable: fits", None)])
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_a_card_gets_a_verdict_and_no_is_an_exit_code(capsys, card, words, code, json):
    assert call(MODEL, "--method", "full", "--gpu", card, "--sequence", "4096", *json) == code
    assert json or words in capsys.readouterr().out


def test_options_reach_the_estimate(capsys):
    call(MODEL, "--checkpointing", "--no-autocast", "--optimizer", "sgd", "--json")
    record = json.loads(capsys.readouterr().out)
    assert record["optimizer_states"] == 0
    assert any("checkpointed" in term["name"] for term in record["terms"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--batch", "0"], "batch must be between 1"),
        (["--gpu", "V101 16GB"], "nearest: V100 16GB"),
        (["--attention", "flsh"], "did you mean 'flash'"),
        (["--targets", "q_porj"], "nearest: q_proj"),
    ],
)
def test_bad_input_is_one_sentence(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(MODEL, *words)


@pytest.mark.slow
def test_a_simulation_answers_with_its_timeline(capsys, tmp_path):
    tiny = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**tiny, "num_attention_heads": 4, "vocab_size": 512}))
    call(str(path), "--sequence", "32", "--simulate", "--json")
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "simulated"
    assert record["peak"] == sum(record["breakdown"].values())
    assert max(point["allocated_bytes"] for point in record["timeline"]) == record["peak"]

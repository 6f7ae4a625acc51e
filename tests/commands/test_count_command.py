"""`square`, `count` and `models` in a terminal: the numbers of the library, exit code 2 and one line for bad input.

The commands run on a parser of their own, so that this file does not depend on the other rooms' commands.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peftcalc import LoRA, QDoRA, count, square
from peftcalc.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, standard output, standard error) of a command."""
    monkeypatch.setattr("peftcalc.cli.COMMANDS", ("square", "count", "models"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def invoke(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as stop:  # argparse leaves this way
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return invoke


def as_json(outcome: tuple[int, str, str]) -> Any:
    assert outcome[0] == 0, outcome[2]
    return json.loads(outcome[1])


@pytest.mark.parametrize("parameters", ["4e9", "4B", "4_000_000_000", "4,000,000,000"])
def test_square(run: Run, parameters: str) -> None:
    result = as_json(run("square", "--parameters", parameters, "--rank", "8", "--json"))
    assert result == square(total_parameters=4_000_000_000, rank=8).as_dict()
    assert (result["dimension"], result["trainable"], result["percent"]) == (63246, 1011936, 0.0252984)


def test_count_prints_the_attributes_of_the_result(run: Run) -> None:
    options = ("--method", "qdora", "--rank", "16", "--targets", "q_proj,v_proj", "--json")
    result = as_json(run("count", "meta-llama/Llama-3.2-1B", *options))
    expected = count("meta-llama/Llama-3.2-1B", QDoRA(rank=16, alpha=32, targets=["q_proj", "v_proj"]))
    for name in ("trainable", "total", "base", "percent", "adapter_bytes_fp16", "adapter_bytes_fp32"):
        assert result[name] == getattr(expected, name)
    assert [row["name"] for row in result["by_kind"]] == ["q_proj", "v_proj"]


def test_count_as_a_table(run: Run) -> None:
    code, out, err = run("count", "meta-llama/Meta-Llama-3-8B", "--method", "lora", "--rank", "16")
    assert (code, err) == (0, "")
    assert "41,943,040" in out
    assert "8,072,204,288" in out


def test_count_of_a_config_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 64}))
    assert as_json(run("count", str(path), "--rank", "3", "--targets", "c_attn", "--json"))["trainable"] == 2 * 3 * 128


def test_count_of_a_classifier(run: Run) -> None:
    options = ("--targets", "query,value", "--task-type", "TOKEN_CLS", "--num-labels", "11", "--rank", "16")
    result = as_json(run("count", "roberta-large", *options, "--json"))
    assert (result["architecture"], result["total"]) == ("RobertaForTokenClassification", 355_905_558)
    code, out, err = run("count", "roberta-large", *options)
    assert (code, err) == (0, "")
    assert "RobertaForTokenClassification is counted" in out


def test_a_model_of_parts_is_printed_by_part(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "t5", "d_model": 32, "d_ff": 48, "num_layers": 1, "vocab_size": 64}))
    out = run("count", str(path), "--targets", "q")[1]
    assert "encoder: q" in out
    assert "decoder: q" in out


def test_a_wasteful_rank_is_noted(run: Run) -> None:
    assert "wasteful" in run("count", "openai-community/gpt2", "--rank", "1000")[1]


def test_what_older_stacks_print_and_what_matches_nothing_is_noted(run: Run) -> None:
    options = ("--method", "qlora", "--rank", "8", "--targets", "query_key_value,q_proj")
    code, out, err = run("count", "EleutherAI/gpt-neox-20b", *options)
    assert (code, err) == (0, "")
    for words in ("20,563,218,432", "older stacks", "10,597,552,128", "'q_proj'", "no module"):
        assert words in out
    notes = as_json(run("count", "EleutherAI/gpt-neox-20b", *options, "--json"))["notes"]
    assert len(notes) == 2


def test_full_fine_tuning(run: Run) -> None:
    assert as_json(run("count", "openai-community/gpt2", "--method", "full", "--json"))["percent"] == 100


def test_models(run: Run) -> None:
    rows = as_json(run("models", "--json"))
    assert len(rows) >= 60
    assert {"meta-llama/Llama-3.1-8B", "openai-community/gpt2"} <= {row["id"] for row in rows}
    assert "8,030,261,248" in run("models", "llama 3.1")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("square", "--parameters", "4e9", "--rank", "0"), "rank must be between 1 and 63,246, got 0"),
        (("square", "--parameters", "-5"), "total_parameters must be between 1"),
        (("square", "--parameters", "many"), "not a number: 'many'"),
        (("square", "--parameters", "1.5"), "not a whole number"),
        (("square",), "--parameters"),
        (("count", "openai-community/gpt2", "--rank", "-3"), "rank must be between 1"),
        (("count", "openai-community/gpt2", "--rank", "2.5"), "not a whole number"),
        (("count", "openai-community/gpt2", "--rank", "1e30"), "rank must be between 1"),
        (("count", "openai-community/gpt2", "--method", "loar"), "did you mean 'lora'"),
        (("count", "openai-community/gpt2", "--targets", "c_atn"), "nearest: c_attn"),
        (("count", "openai-community/gpt2", "--targets", "("), "not a regular expression"),
        (("count", "no-such-model"), "no model 'no-such-model'"),
        (("count", "/no/such/config.json"), "no model"),
        (("count", "openai-community/gpt2", "--alpha", "nan"), "alpha must be a positive number"),
        (("count", "bert-base-uncased", "--task-type", "SEQ_CLS", "--num-labels", "0"), "num_labels must be between 1"),
        (("models", "no such model"), "no bundled model contains"),
        (("mdoels",), "invalid choice"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["square", "count", "models", "fit", "advise"])
def test_declaring_a_command_loads_nothing_heavy(name: str) -> None:
    code = (
        "import argparse, importlib, sys;"
        f"importlib.import_module('peftcalc.commands.{name}').add(argparse.ArgumentParser().add_subparsers());"
        "print(sorted({'torch', 'transformers', 'streamlit', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_counting_a_catalogue_model_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, peftcalc;"
        "peftcalc.count('meta-llama/Llama-3.1-405B', peftcalc.DoRA(rank=16));"
        "print(sorted({'torch', 'transformers', 'peft', 'streamlit', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_commands_declare_themselves() -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    for name in ("square", "count", "models"):
        importlib.import_module(f"peftcalc.commands.{name}").add(commands)
    assert set(commands.choices) == {"square", "count", "models"}


def test_the_options_of_a_start_and_of_a_frozen_factor(run: Run) -> None:
    result = as_json(run("count", "gpt2", "--rank", "4", "--init", "pissa", "--freeze-a", "--json"))
    assert result == json.loads(json.dumps(count("gpt2", LoRA(rank=4, init="pissa", freeze_a=True)).as_dict()))
    code, _, said = run("count", "gpt2", "--init", "pisa")
    assert code == 2
    assert "did you mean 'pissa'" in said

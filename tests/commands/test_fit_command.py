"""`fit` and `advise` in a terminal: the library's numbers, exit code 1 where nothing fits, 2 for bad input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peftcalc import DoRA, LoRA, QLoRA, advise, fit
from peftcalc.cli import main
from peftcalc.commands.fit import fit_record
from peftcalc.memory.fit import FIVE_METHODS

MODEL = "meta-llama/Llama-3.2-1B"
LARGE = "meta-llama/Llama-3.1-70B"
EXPERTS = "mistralai/Mixtral-8x7B-v0.1"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command."""
    try:
        code = main(words)
    except SystemExit as stop:  # argparse leaves this way
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def as_json(outcome: tuple[int, str, str]) -> Any:
    return json.loads(outcome[1])


def test_fit_prints_what_the_library_answers(capsys):
    outcome = run(capsys, "fit", MODEL, "T4", "--sequence", "512", "--checkpointing", "--json")
    record, expected = as_json(outcome), fit(MODEL, "T4", sequence=512, checkpointing=True)
    assert (outcome[0], outcome[2]) == (0, "")
    assert (record["model"], record["gpu"], record["batch"], record["sequence"]) == (MODEL, "T4", 1, 512)
    assert [one["method"] for one in record["fits"]] == [method.name for method in FIVE_METHODS]
    for shown, one in zip(record["fits"], expected, strict=True):
        for name in ("verdict", "fits", "free_bytes", "largest_batch", "largest_sequence"):
            assert shown[name] == getattr(one, name)
        assert shown["needed"] == one.needed.__dict__
        assert shown["estimate"]["total"] == one.estimate.total
        assert isinstance(shown["free_bytes"], int)


def test_fit_takes_some_methods_with_their_settings(capsys):
    words = ("--methods", "QLoRA, dora", "--rank", "4", "--alpha", "3", "--targets", "q_proj")
    record = as_json(run(capsys, "fit", MODEL, "--gpu", "T4", *words, "--json"))
    methods = [QLoRA(rank=4, alpha=3, targets=("q_proj",)), DoRA(rank=4, alpha=3, targets=("q_proj",))]
    assert record["fits"] == json.loads(json.dumps([fit_record(one) for one in fit(MODEL, "T4", methods)]))


@pytest.mark.parametrize("command", ["fit", "advise"])
def test_no_is_an_exit_code(capsys, command):
    assert run(capsys, command, LARGE, "T4", "--json")[0] == 1
    code, out, err = run(capsys, command, LARGE, "T4")
    assert (code, err) == (1, "")
    assert "does not fit" in out


def test_one_method_that_fits_is_a_yes(capsys):
    assert run(capsys, "fit", MODEL, "T4", "--methods", "full,lora", "--sequence", "1500", "--json")[0] == 0
    assert run(capsys, "fit", MODEL, "T4", "--methods", "full", "--sequence", "1500", "--json")[0] == 1


def test_what_peft_refuses_is_left_out_and_said_unless_it_was_asked_for(capsys):
    code, out, err = run(capsys, "fit", EXPERTS, "H200")
    assert (code, err) == (1, "")
    assert "Without DoRA and QDoRA: peft refuses DoRA on" in out
    assert list(as_json(run(capsys, "fit", EXPERTS, "H200", "--json"))["refused"]) == ["dora", "qdora"]
    code, out, err = run(capsys, "fit", EXPERTS, "H200", "--methods", "dora")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "peft refuses DoRA" in err


def test_advise_prints_what_the_library_answers(capsys):
    words = ("--priority", "quality", "--tasks", "3", "--batch", "2", "--sequence", "1024", "--json")
    outcome = run(capsys, "advise", "meta-llama/Llama-3.1-8B", "RTX 4090", *words)
    record, expected = as_json(outcome), advise("meta-llama/Llama-3.1-8B", "RTX 4090", "quality", 3, 2, 1024)
    assert outcome[0] == (0 if expected.fit.fits else 1)
    assert isinstance(expected.method, LoRA)
    assert (record["method"], record["method_options"]["rank"]) == (expected.method.name, expected.method.rank)
    assert record["checkpointing"] is expected.checkpointing
    assert record["reasons"] == json.loads(json.dumps([reason.__dict__ for reason in expected.reasons]))
    assert record["fit"]["needed"] == expected.fit.needed.__dict__
    assert [one["method"] for one in record["fits"]] == [one.method.name for one in expected.fits]


def test_advise_as_text_shows_every_reason(capsys):
    code, out, err = run(capsys, "advise", MODEL, "T4")
    assert (code, err) == (0, "")
    for reason in advise(MODEL, "T4").reasons:
        assert f"{reason.question} {reason.answer}" in out
        assert reason.source in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("fit", MODEL), "name one card"),
        (("advise", MODEL, "T4", "--gpu", "T4"), "name one card"),
        (("fit", MODEL, "T5"), "no GPU called 'T5'"),
        (("fit", MODEL, "T4", "--methods", "lora,loar"), "did you mean 'lora'"),
        (("fit", MODEL, "T4", "--methods", ","), "methods must be method names"),
        (("fit", MODEL, "T4", "--batch", "0"), "batch must be between 1"),
        (("fit", MODEL, "T4", "--optimizer", "adam"), "optimizer must be one of"),
        (("fit", "no-such-model", "T4"), "no model 'no-such-model'"),
        (("advise", MODEL, "T4", "--priority", "sped"), "did you mean 'speed'"),
        (("advise", MODEL, "T4", "--tasks", "0"), "tasks must be between"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, words, sentence):
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err

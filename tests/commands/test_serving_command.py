"""`serving` in a terminal: the library's numbers, exit code 1 where it does not fit, 2 for bad input."""

from __future__ import annotations

import json

import pytest

import peftcalc as pc
from peftcalc.cli import main

MODEL = "meta-llama/Llama-3.2-1B"


@pytest.mark.parametrize("command", ["serving", "serve"])
def test_it_prints_what_the_library_answers(capsys, command):
    words = ("--users", "4", "--context", "1k", "--adapters", "3", "--bits", "4", "--method", "dora", "--rank", "16")
    assert main((command, MODEL, "T4", *words, "--json")) == 0
    record = json.loads(capsys.readouterr().out)
    expected = pc.estimate_serving(MODEL, pc.DoRA(rank=16), "T4", 1000, 4, 3, 4)
    for name in ("weights", "cache", "adapters", "fits", "most_users", "one_more_adapter", "total"):
        assert record[name] == getattr(expected, name)
    assert main((command, MODEL, "T4", *words)) == 0
    assert f"At most {expected.most_users:,} users" in capsys.readouterr().out


def test_no_is_an_exit_code_and_bad_input_a_line(capsys):
    assert main(("serving", "meta-llama/Llama-3.1-70B", "T4", "--bits", "4")) == 1
    assert "does not fit" in capsys.readouterr().out
    assert main(("serving", MODEL, "T4", "--bits", "5")) == 2
    assert capsys.readouterr().err.count("\n") == 1

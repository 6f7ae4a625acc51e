"""Whatever is typed, and wherever the output goes: one line and an exit code, never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest

from peftcalc.cli import main
from peftcalc.commands import number, print_json

MODEL = "meta-llama/Llama-3.2-1B"
SQUARE = ("square", "--parameters", "1e4", "--rank", "2")


def command(*words: str, stdout: Any = subprocess.PIPE, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """One command in a process of its own."""
    run = [sys.executable, "-m", "peftcalc", *words]
    return subprocess.run(run, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **variables}, check=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4e9", 4 * 10**9),
        ("7B", 7 * 10**9),
        ("8.03B", 8_030_000_000),  # 8029999999.999999 in floats
        ("9007199254740993", 2**53 + 1),  # 2⁵³ in floats
        ("1,234,567", 1_234_567),
        ("1_000", 1000),
        (".5k", 500),
        ("1.50e2", 150),
        (" 8 ", 8),
        ("-3", -3),
    ],
)
def test_every_digit_of_a_number_counts(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", ["1,4", "1,2,3", "12,34", ",1", "1,0000", "", ".", "e5", "1e100", "nan", "inf", "k"])
def test_what_is_no_number_is_none(text):
    with pytest.raises(ArgumentTypeError, match="not a number"):
        number(text)


def test_a_number_has_eighty_characters_at_most():
    assert number("0" * 79 + "1") == 1
    with pytest.raises(ArgumentTypeError, match="not a number"):
        number("0" * 80 + "1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["count", MODEL, "--quant", "nf5"], "did you mean 'nf4'"),
        (["count", MODEL, "--rank", "1,4"], "not a number: '1,4'"),
        (["memory", MODEL, "--gpu", ""], "no GPU called ''"),
        (["fit", MODEL, "T4", "--methods", ""], "methods must be method names"),
        (["quantize", "--normal", ""], "--normal must be sides"),
        (["quantize", "--normal", "8x8", "--format", ""], "format must be one of"),
        (["quantize", "a" * 5000], "no such file"),
        (["train", "--task", "rank", "--steps", "1", "--out", f"/dev/null/{'a' * 5000}"], ""),
        (["measure", MODEL, "--device", "cpu", "--dry-run", "--csv", "/dev/null/x", "--sequence", "1e99"], "sequence"),
        (["sweep", "--task", "rank", "--scheduler", "", "--no-history"], "scheduler"),
        (["compare", "--task", "rank", "--scheduler", "", "--no-history"], "scheduler"),
    ],
)
def test_a_value_that_is_empty_or_wrong_is_not_left_out(words, says, capsys):
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code
    told = capsys.readouterr()
    assert code == 2
    assert told.err.count("\n") == 1
    assert says in told.err


def test_a_long_or_hostile_value_is_quoted_within_a_line(capsys):
    for words in (["count", MODEL, "--method", "x" * 60_000], ["memory", MODEL, "--sequence", "1\x1b[2J\n2"]):
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
        told = capsys.readouterr().err
        assert code == 2
        assert told.count("\n") == 1
        assert "\x1b" not in told
        assert len(told) < 1_100


def test_a_terminal_that_lacks_a_character_gets_another():
    variables = {"PYTHONIOENCODING": "ascii"}
    for words in (SQUARE, ("count", "--help"), ("quantize", "--normal", "8x8")):
        told = command(*words, **variables)
        assert (told.returncode, told.stderr) == (0, b"")
    assert b"100 ? 100" in command(*SQUARE, **variables).stdout


def test_json_stays_json_where_a_character_is_lacking(monkeypatch: pytest.MonkeyPatch):
    record = {"name": "größe × 2"}
    for encoding, escaped in (("ascii", True), ("utf-8", False), ("latin-1", False)):
        written = io.BytesIO()
        terminal = io.TextIOWrapper(written, encoding, write_through=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            print_json(record)
        assert json.loads(written.getvalue().decode(encoding)) == record
        assert (b"\\u" in written.getvalue()) is escaped


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_is_one_line():
    """The answer is not "no" (exit code 1), whether the output fills while it is printed or at the end."""
    for words in (("models",), SQUARE):
        with open("/dev/full", "wb") as full:
            told = command(*words, stdout=full)
        assert told.returncode == 2
        assert told.stderr.decode() == f"peftcalc {words[0]}: No space left on device\n"


def test_a_reader_who_is_gone_is_no_error():
    """With an answer so short that it is first written at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        told = command(*SQUARE, stdout=closed)
    assert (told.returncode, told.stderr) == (0, b"")

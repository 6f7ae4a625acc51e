"""`adapter` in a terminal: the record of the library as JSON, and exit codes 0, 1 (broken) and 2 (bad input)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from adapter_files import BASE, CONFIG, TENSORS, edit_tensors, write_adapter

from peftcalc import inspect_adapter
from peftcalc.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_adapter(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def base(tmp_path: Path) -> str:
    path = tmp_path / "base.json"
    path.write_text(json.dumps(BASE))
    return str(path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def invoke(*arguments: object) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in ("adapter", *arguments)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return invoke


def test_json_is_the_record(run: Run, saved: Path, base: str) -> None:
    code, out, _ = run(saved, "--base", base, "--json")
    expected = inspect_adapter(saved, base=base)
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(expected.as_dict()))
    assert json.loads(out)["layers"][0]["frobenius_norm"] == expected.layers[0].frobenius_norm


def test_the_table_says_what_is_trained_and_how_large_updates_are(run: Run, saved: Path, base: str) -> None:
    code, out, _ = run(saved, "--base", base)
    result = inspect_adapter(saved, base=base)
    assert code == 0
    for words in (f"{result.trainable:,}", "low-rank factors", "q_proj", "v_proj", "≤ 4", "eff. rank"):
        assert words in out
    assert "model.layers.1.self_attn.q_proj" in run(saved, "--base", base, "--layers")[1]


def test_a_smaller_adapter_is_written_and_the_loss_printed(run: Run, saved: Path, base: str, tmp_path: Path) -> None:
    code, out, _ = run(saved, "--base", base, "--rank", 2, "--out", tmp_path / "small")
    assert code == 0
    assert "of the energy lost" in out
    assert inspect_adapter(tmp_path / "small", base=base).largest_rank == 2
    cut = json.loads(run(saved, "--base", base, "--rank", 2, "--out", tmp_path / "small", "--json")[1])["cut"]
    assert cut["energy_lost_percent"] == pytest.approx(100 * (1 - inspect_adapter(saved, base=base).within(2)))


def test_a_broken_adapter_is_exit_code_1(run: Run, saved: Path, base: str) -> None:
    edit_tensors(saved, lambda t: {name.replace("model.layers", "layers"): value for name, value in t.items()})
    code, out, _ = run(saved, "--base", base)
    assert code == 1
    assert "Fault: 8 tensors match no module" in out
    code, out, _ = run(saved, "--base", base, "--json")
    assert (code, json.loads(out)["sound"]) == (1, False)


def test_nan_is_exit_code_1_and_valid_json(run: Run, saved: Path, base: str) -> None:
    edit_tensors(saved, lambda t: {name: torch.full_like(value, float("nan")) for name, value in t.items()})
    code, out, _ = run(saved, "--base", base, "--json")
    assert code == 1
    assert json.loads(out)["layers"] == []


def test_bad_input_is_one_line_and_exit_code_2(run: Run, saved: Path, base: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, words in (
        ((tmp_path / "nothing",), "no adapter"),
        ((empty,), "holds no adapter"),
        ((saved, "--base", "no-such-model"), "no model 'no-such-model'"),
        ((saved, "--rank", 2), "belong together"),
        ((saved, "--out", "x"), "belong together"),
        ((saved, "--base", base, "--rank", 0, "--out", tmp_path / "x"), "rank must be between 1"),
        ((saved, "--base", base, "--rank", 2, "--out", saved), "another folder"),
        (("someone/adapter",), "HF_HUB_OFFLINE"),
        ((), "PATH"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
    (saved / TENSORS).write_bytes(b"GGUF" + b"\0" * 40)
    assert run(saved, "--base", base)[0] == 2
    (saved / CONFIG).write_text("{")
    assert run(saved, "--base", base)[0] == 2


def test_the_terminal_needs_neither_torch_nor_pandas(saved: Path) -> None:
    config = json.loads((saved / CONFIG).read_text())
    (saved / CONFIG).write_text(json.dumps(config | {"base_model_name_or_path": "meta-llama/Llama-3.2-1B"}))
    code = (
        "import sys; from peftcalc.cli import main;"
        f"print(main(['adapter', {str(saved)!r}]));"
        "print(sorted({'torch', 'transformers', 'peft', 'streamlit', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["1", "[]"]  # 1: a small Llama's tensors do not fit Llama-3.2-1B

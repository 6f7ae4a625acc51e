"""`train --out`: whatever ends a run, what was trained is kept, and `--resume` goes on as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import peftcalc as pc
from peftcalc.adapters.files import adapter_folder
from peftcalc.adapters.state import adapter_tensors
from peftcalc.cli import main
from peftcalc.lab.runs import run_folder
from peftcalc.lab.runs.run_folder import RECORDS, RESERVE, STATE, RunFolder
from peftcalc.lab.runs.training_state import HEADER, load_state

ADAPTER = "adapter_model.safetensors"
DIGITS = ["train", "--task", "digits", "--rank", "2", "--steps", "12", "--dropout", "0.2", "--method"]


def steps_in(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / RECORDS).read_text().splitlines()]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, times: int = 1) -> None:
    """Ctrl-C while the record of this step is written."""
    add = RunFolder.add

    def interrupted(self: RunFolder, record: Any) -> None:
        add(self, record)
        if record.step == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "add", interrupted)


@pytest.mark.parametrize("method", ["lora", "qdora", "full"])
@pytest.mark.parametrize("step", [0, 1, 5, 9])
def test_a_resumed_run_equals_an_uninterrupted_one(
    method: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On one machine bit for bit: the same operations on the same numbers."""
    assert main([*DIGITS, method, "--out", str(tmp_path / "whole")]) == 0
    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        assert main([*DIGITS, method, "--out", str(broken)]) == 130
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"interrupted at step {step} of 12; kept in {broken}: the records to step {step}" in error
    assert ("adapter of step" in error) == (method != "full")
    assert steps_in(broken) == list(range(step + 1))
    assert not (broken / RESERVE).exists()
    assert main(["train", "--resume", "--out", str(broken)]) == 0
    whole, resumed = ((tmp_path / name / RECORDS).read_text().splitlines() for name in ("whole", "broken"))
    timed = ("seconds", "tokens_per_second")
    for one, other in zip(whole, resumed, strict=True):
        left, right = ({k: v for k, v in json.loads(line).items() if k not in timed} for line in (one, other))
        assert left == right
    assert sorted(file.name for file in broken.iterdir()) == sorted(f.name for f in (tmp_path / "whole").iterdir())
    if method != "full":
        tensors = load_file(broken / ADAPTER)
        for name, tensor in load_file(tmp_path / "whole" / ADAPTER).items():
            assert torch.equal(tensors[name], tensor)


def test_a_killed_run_goes_on_from_its_last_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing could be saved at the end: the state is that of an evaluation, and the records after it come again."""
    killed = tmp_path / "killed"

    def dies(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        interrupt_at(patch, 8)
        patch.setattr("peftcalc.commands.train._keep_the_last", dies)
        with pytest.raises(RuntimeError, match="killed"):
            main([*DIGITS, "lora", "--out", str(killed)])
    assert load_state(killed / STATE).step == 6  # evaluations at 3, 6, 9 and 12
    assert steps_in(killed) == list(range(9))
    (killed / RECORDS).write_text((killed / RECORDS).read_text() + '{"step": 9, "los')
    assert main(["train", "--resume", "--out", str(killed)]) == 0
    assert steps_in(killed) == list(range(13))


def test_the_second_ctrl_c_breaks_off_and_keeps_the_last_good_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, times=2)
        assert main([*DIGITS, "lora", "--out", str(tmp_path)]) == 130
    assert "the adapter of step 4 and the run at step 3" in capsys.readouterr().err
    assert torch.equal(_after(4), load_file(tmp_path / ADAPTER)[_name()])


def _after(step: int, **settings: Any) -> torch.Tensor:
    """One tensor of the adapter of such a run after `step` steps."""
    run = pc.finetune("digits", pc.LoRA(rank=2, alpha=4, dropout=0.2), **{"steps": 12, **settings})
    for _ in range(step + 1):
        next(run)
    return adapter_tensors(run.module)["second.4.lora_B.weight"].detach().clone()


def _name() -> str:
    return "base_model.model.second.4.lora_B.weight"


def test_ctrl_c_without_out_says_that_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = iter(range(100))
    monkeypatch.setattr(
        "peftcalc.lab.runs.loop.Loop.train_step",
        lambda *_: signal.raise_signal(signal.SIGINT) or float(next(bar) % 2),
    )
    assert main([*DIGITS, "lora"]) == 130
    assert "interrupted at step 1 of 12; nothing is kept without --out" in capsys.readouterr().err


def test_a_real_ctrl_c_in_another_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "peftcalc", "train", "--task", "rank", "--steps", "100000", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while not (tmp_path / RECORDS).exists() or (tmp_path / RECORDS).read_bytes().count(b"\n") < 5:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=300)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert error.count("\n") == 1
    last = steps_in(tmp_path)[-1]
    assert f"interrupted at step {last} of 100000" in error
    assert load_state(tmp_path / STATE).step == last
    assert (tmp_path / ADAPTER).exists()


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_a_divergence_keeps_the_last_good_adapter(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "digits", "--rank", "2", "--steps", "400", "--learning-rate", "3", "--method", method]
    assert main(["train", *arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "diverged: the loss is" in error
    *_, last = (json.loads(line) for line in (tmp_path / RECORDS).read_text().splitlines())
    good = int(error.rpartition("the adapter of step ")[2])
    assert good == last["step"] - (2 if last["validation"] is None else 1) > 0  # whose loss was seen to be good
    assert last["stopped"]
    run = pc.finetune("digits", _method(method), steps=400, learning_rate=3)
    for _ in range(good + 1):
        next(run)
    saved = load_file(tmp_path / ADAPTER)
    ours = adapter_tensors(run.module)
    assert torch.equal(saved[_name()], ours["second.4.lora_B.weight"])
    assert all(bool(torch.isfinite(tensor).all()) for tensor in saved.values())
    assert not (tmp_path / STATE).exists()


def _method(name: str) -> Any:
    return {"lora": pc.LoRA, "dora": pc.DoRA}[name](rank=2, alpha=4)


def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From step 7 on the disk is full, until the room that was set aside is given back."""
    append = run_folder._append

    def full(number: int, line: bytes) -> None:
        if json.loads(line)["step"] >= 7 and (tmp_path / RESERVE).exists():
            os.write(number, line[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        append(number, line)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "_append", full)
        assert main([*DIGITS, "lora", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the records cannot be written (No space left on device); kept in" in error
    assert "the records to step 7, the adapter of step 7 and the run at step 7" in error
    assert steps_in(tmp_path) == list(range(8))
    assert torch.equal(_after(7), load_file(tmp_path / ADAPTER)[_name()])
    assert main(["train", "--resume", "--out", str(tmp_path)]) == 0
    assert steps_in(tmp_path) == list(range(13))


def test_an_adapter_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = iter(range(100))

    def full(tensors: dict, path: Path, **options: Any) -> None:
        if next(calls) >= 1:
            path.write_bytes(b"half of")
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(tensors, path, **options)

    monkeypatch.setattr(adapter_folder, "save_file", full)
    assert main([*DIGITS, "lora", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "the adapter cannot be written (No space left on device)" in error
    assert "the adapter of step 3" in error
    assert torch.equal(_after(3), load_file(tmp_path / ADAPTER)[_name()])
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / RECORDS).symlink_to("/dev/full")
    assert main([*DIGITS, "lora", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "the records cannot be written (No space left on device)" in error
    assert error.count("\n") == 1
    assert (tmp_path / ADAPTER).exists()


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """The kernel itself refuses: the records of this run do not fit below 24 KiB."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (24 << 10, 24 << 10))

    command = [sys.executable, "-m", "peftcalc", "train", "--task", "rank", "--steps", "300", "--out", str(tmp_path)]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "the records cannot be written (File too large); kept in" in done.stderr
    last = steps_in(tmp_path)[-1]
    assert 0 < last < 300
    assert f"the records to step {last}" in done.stderr


def test_no_room_is_said_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert main([*DIGITS, "lora", "--out", str(tmp_path)]) == 2
    assert "has no room for the" in capsys.readouterr().err
    assert steps_in(tmp_path) == []


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        main([*DIGITS, "lora", "--out", str(tmp_path)])
    capsys.readouterr()
    return tmp_path


def resumed(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["train", "--resume", "--out", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 or "began with" in error
    return error


def test_what_a_run_began_with_stays(interrupted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--rank must be left out or as the run began, 2, got 3" in resumed(interrupted, capsys, "--rank", "3")
    assert "--steps must be left out or as the run began, 12, got 24" in resumed(interrupted, capsys, "--steps", "24")
    assert main(["train", "--resume", "--out", str(interrupted), "--rank", "2", "--steps", "12"]) == 0
    assert "there is no run to go on with" in resumed(interrupted, capsys)


def test_resume_needs_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run to go on with" in resumed(tmp_path / "absent", capsys)
    assert main(["train", "--resume"]) == 2
    assert "--resume needs --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": "5"}, "step must be int"),
        ({"step": 99}, "step must be between 0 and 12, got 99"),
        ({"step": 4}, "records.jsonl"),
        ({"figures": {}}, "limit must be a number"),
        ({"code": "print(1)"}, "the stored run is another one"),
        ({"arguments": {}}, "must hold the arguments of a run of this version"),
        ({"arguments": []}, "arguments must be dict"),
    ],
)
def test_a_made_up_header_is_one_sentence(
    change: dict, sentence: str, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = interrupted / STATE
    state = load_state(path)
    header = {"step": 5, "figures": dict(state.figures), "code": state.code, "arguments": dict(state.arguments or {})}
    save_file(dict(state.tensors), path, metadata={HEADER: json.dumps({**header, **change})})
    if change == {"step": 4}:
        (interrupted / RECORDS).write_text('{"step": 0, "steps": 12, "loss": 1.0}\n')
    assert sentence in resumed(interrupted, capsys)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.pop("batches"), "batches is not in both"),
        (lambda t: t.update(extra=torch.ones(1)), "extra is not in both"),
        (lambda t: t.update({name: t[name].double() for name in t if "exp_avg." in name}), "must be torch.float32"),
        (lambda t: [t[name].fill_(float("nan")) for name in t if "trained." in name], "must be finite"),
    ],
)
def test_tensors_that_do_not_fit_are_one_sentence(
    change: Any, sentence: str, interrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = interrupted / STATE
    state = load_state(path)
    header = {"step": 5, "figures": dict(state.figures), "code": state.code, "arguments": dict(state.arguments or {})}
    tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}
    change(tensors)
    save_file(tensors, path, metadata={HEADER: json.dumps(header)})
    before = (interrupted / RECORDS).read_text()
    assert sentence in resumed(interrupted, capsys)
    assert (interrupted / RECORDS).read_text() == before


def test_each_record_is_there_as_soon_as_it_is_made(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    run = pc.finetune("rank", pc.LoRA(rank=2, alpha=4), steps=3)
    folder.begin(run)
    for count, record in enumerate(run, start=1):
        folder.add(record)
        assert steps_in(tmp_path) == list(range(count))
    folder.close()

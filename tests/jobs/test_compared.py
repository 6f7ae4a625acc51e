"""`pc.compare` keeps what it came to, where somebody keeps a history, and what was given for it alone nowhere."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import peftcalc as pc
from peftcalc.jobs.history.history import History
from peftcalc.lab import comparison
from peftcalc.lab.comparison import Comparison, RunResult
from peftcalc.lab.sweeps.kept_sweep import results_of


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "history.sqlite"
    monkeypatch.setenv("PEFTCALC_HISTORY", str(file))
    return file


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Comparison:
    """What `lab` answers, without training."""
    runs = [
        RunResult(pc.LoRA(rank=2), seed, 2.5, validation, {"accuracy": 0.5}, 1.5, 99, 10, stopped)
        for seed, validation, stopped in ((0, 1.5, None), (3, math.inf, "diverged"))
    ]
    found = Comparison("own", "nats a character", tuple(runs))
    monkeypatch.setattr(comparison, "compare", lambda *_, **__: found)
    return found


def test_a_comparison_is_kept_and_can_be_read_as_a_sweep(path: Path, trained: Comparison):
    assert pc.compare("own", [pc.LoRA(rank=2)], seeds=[0, 3], steps=7, text="my secret") is trained
    (run,) = History(path).runs()
    assert (run.kind, run.source, run.state) == ("sweep", "compare", "done")
    assert run.title == "Your own text: LoRA(rank=2), 2 seeds: 2 runs"
    assert run.link == f"/train?section=a+sweep&run={run.id}"
    read = results_of(run.settings, run.results, list).runs
    assert [(one.method, one.seed, one.validation, one.settings.steps) for one in read] == [
        (pc.LoRA(rank=2), 0, 1.5, 7),
        (pc.LoRA(rank=2), 3, math.inf, 7),
    ]
    assert b"secret" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_whoever_opts_out_keeps_nothing(path: Path, trained: Comparison, monkeypatch: pytest.MonkeyPatch):
    assert pc.compare("own", keep=False) is trained
    monkeypatch.setenv("PEFTCALC_HISTORY", "off")
    assert pc.compare("own") is trained
    assert not path.exists()


def test_a_history_that_cannot_be_written_is_a_warning_and_no_loss(path: Path, trained: Comparison):
    path.write_bytes(b"no database" * 1000)
    with pytest.warns(UserWarning, match="this comparison is not kept: The history history.sqlite is damaged"):
        assert pc.compare("own") is trained

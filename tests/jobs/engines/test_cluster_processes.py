"""A scheduler and two workers as processes of their own, on loopback under TLS: what is lost when one is killed.

They are started by the commands that `docs/cluster.md` tells.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from peftcalc.cli import main
from peftcalc.jobs.engines import cluster as cluster_module
from peftcalc.jobs.engines.addresses import address
from peftcalc.jobs.engines.batch import batch
from peftcalc.jobs.engines.chosen import open_queue
from peftcalc.lab.sweeps.sweep import sweep
from peftcalc.methods import LoRA

ROOMS = ("peftcalc.lab.work",)
LONELY = LoRA(rank=2, alpha=3, dropout=0.1)
"""Dropout: a run that is not stacked with others, so that each of forty is a task."""


@dataclass
class Processes:
    url: str
    certificates: Path
    scheduler: subprocess.Popen
    workers: subprocess.Popen


def start(*arguments, **more):
    command = [sys.executable, "-m", "peftcalc", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True, **more)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    certificates = folder / "certificates"
    assert main(["cluster", "certificates", str(certificates)]) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, secured, quiet = f"tls://127.0.0.1:{port}", ("--certificates", certificates), {"stderr": subprocess.DEVNULL}
    scheduler = start("cluster", "scheduler", "--host", "127.0.0.1", "--port", port, *secured, cwd=folder, **quiet)
    workers = start("cluster", "worker", url, "--workers", 2, *secured, cwd=folder, **quiet)
    yield Processes(url, certificates, scheduler, workers)
    for process in (workers, scheduler):
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_killed_worker_s_run_is_said_and_run_again_and_every_run_counts_once(processes):
    said, killed, steps = [], [], collections.Counter()
    with batch(address(processes.url, processes.certificates), ROOMS, said.append) as engine:
        assert engine.workers == 2

        def progress(made, every):
            steps[made] += 1
            if made > every / 3 and not killed:
                busy = next(hand.worker for hand in engine.queue.engine.hands.values() if hand.part.state == "running")
                killed.append(busy.address)
                os.kill(busy.process_id, signal.SIGKILL)

        asked = {"methods": [LONELY], "steps": 20}
        runs = list(sweep("rank", asked, 40, progress=progress, engine=engine))
    assert sorted(run.seed for run in runs) == list(range(40))
    assert all(len(run.losses) == 20 for run in runs)
    assert set(steps) - {0} == set(range(1, 801))  # no step is told twice, none is left out
    assert "2 workers" in said[0]
    assert any(killed[0] in sentence and "run again" in sentence for sentence in said[1:])
    here = {run.seed: run for run in sweep("rank", asked, (0, 13, 39))}
    for run in runs:
        if run.seed in here:
            assert run.losses == here[run.seed].losses


@pytest.mark.slow
def test_other_certificates_are_not_let_in(processes, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 2.0)
    assert main(["cluster", "certificates", str(tmp_path / "others")]) == 0
    others = batch(address(processes.url, tmp_path / "others"), ROOMS, print)
    with pytest.raises(ValueError, match=r"No Dask scheduler answers at tls:.* or it has other certificates"), others:
        pass


@pytest.mark.slow
def test_a_killed_scheduler_is_a_sentence_and_resume_completes_the_sweep(processes, tmp_path, capsys):
    out = tmp_path / "runs.jsonl"
    asked = ["sweep", "--task", "text", "--methods", "lora", "--rank", "1,2", "--seeds", "3", "--steps", "2"]
    asked += ["--out", str(out), "--no-history", "--json"]
    where = ["--scheduler", processes.url, "--certificates", str(processes.certificates)]
    going = start(*asked, *where, stderr=subprocess.PIPE)
    end = time.monotonic() + 300
    with going:
        while not (out.exists() and out.read_text().count("\n")):
            assert time.monotonic() < end
            assert going.poll() is None, going.stderr.read()
            time.sleep(0.02)
        processes.scheduler.kill()
        said = going.stderr.read()
        assert going.wait(60) == 2
    kept = out.read_text().splitlines()
    assert 1 <= len(kept) < 6
    assert f"The Dask scheduler at {processes.url} is gone, and its workers with it" in said
    assert f"after {len(kept)} of 6 runs; {out} holds them, and --resume goes on" in said
    assert "Traceback" not in said
    assert main([*asked, "--resume"]) == 0
    seeds = [(run["method_options"]["rank"], run["seed"]) for run in json.loads(capsys.readouterr().out)["runs"]]
    assert sorted(seeds) == [(rank, seed) for rank in (1, 2) for seed in range(3)]
    assert out.read_text().splitlines()[: len(kept)] == kept


@pytest.mark.slow
def test_a_server_whose_scheduler_is_not_there_says_so(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    queue = open_queue(address(url), ROOMS)
    try:
        job = queue.submit("ada", "finetune", [{}])
        end = time.monotonic() + 60
        while job.alive and time.monotonic() < end:
            time.sleep(0.02)
        assert (job.state, job.message) == ("failed", queue.problem)
        with pytest.raises(ValueError, match=f"No Dask scheduler answers at {url}"):
            queue.submit("ada", "finetune", [{}])
    finally:
        queue.close()

"""`--scheduler` and `python -m peftcalc cluster`: what is refused, what is made, and what the docs tell to type."""

from __future__ import annotations

import json
import re
import shlex
import stat
import time
from pathlib import Path

import pytest

from peftcalc.cli import build_parser, main
from peftcalc.commands.running import cluster
from peftcalc.commands.running.elsewhere import scheduler_variables
from peftcalc.jobs.engines import certificates
from peftcalc.jobs.engines.addresses import address, from_environment

PAGE = Path(__file__).parents[2] / "docs/cluster.md"
TOLD = re.findall(r"^python -m peftcalc (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("line", TOLD)
def test_what_the_page_tells_to_type_is_understood(line):
    build_parser().parse_args(shlex.split(line))


def test_the_page_tells_of_all_three_commands_and_the_sweep():
    assert [line.split()[:2] for line in TOLD[1:4]] == [
        ["cluster", name] for name in ("certificates", "scheduler", "worker")
    ]
    assert sum("--scheduler" in line for line in TOLD) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tcp://10.0.0.5:8786", "is refused: Dask speaks pickle, by which whoever reaches the scheduler can run any"),
        ("tls://10.0.0.5:8786", "needs --certificates FOLDER"),
        ("local:0", "the number of workers must be between 1 and 64, got 0"),
        ("local:", "must be followed by a number of workers, as local:4"),
        ("http://127.0.0.1:8786", "--scheduler must be tls://host:8786"),
        ("tcp://127.0.0.1", "--scheduler must be tls://host:8786"),
        ("tcp://[::1", "--scheduler must be tls://host:8786"),
        ("8786", "--scheduler must be tls://host:8786"),
    ],
)
def test_an_address_that_is_refused_is_one_line(text, sentence, capsys):
    for command in (["sweep"], ["compare"], ["app"]):
        assert main([*command, "--scheduler", text]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:8786", "tcp://[::1]:8786", "tcp://localhost:8786"])
def test_this_machine_needs_no_certificates(text):
    assert address(text).url == text


def test_the_app_is_told_by_its_environment(tmp_path):
    line = ["app", "--scheduler", "tls://first:8786", "--certificates", str(tmp_path)]
    variables = scheduler_variables(build_parser().parse_args(line))
    assert from_environment(variables) == address("tls://first:8786", tmp_path)
    assert from_environment({}) is None
    assert scheduler_variables(build_parser().parse_args(["app"])) == {}


def test_certificates_are_for_their_owner_and_are_not_overwritten(tmp_path, capsys):
    folder = tmp_path / "my-cluster"
    assert main(["cluster", "certificates", str(folder), "--days", "2"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    before = (folder / "key.pem").read_bytes()
    assert main(["cluster", "certificates", str(folder)]) == 2
    assert "holds certificates already" in capsys.readouterr().err
    assert (folder / "key.pem").read_bytes() == before


def test_certificates_that_are_void_or_none_are_said_before_anybody_is_asked(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "c"
    main(["cluster", "certificates", str(folder), "--days", "1"])
    late = time.time() + 2 * 86_400
    monkeypatch.setattr(certificates.time, "time", lambda: late)
    asked = ["sweep", "--scheduler", "tls://127.0.0.1:8786", "--certificates", str(folder)]
    for command in (asked, ["cluster", "scheduler", *asked[3:]], ["cluster", "worker", *asked[2:]]):
        assert main(command) == 2
        assert f"the certificates in {folder} were good until 20" in capsys.readouterr().err
    (folder / "ca.pem").write_text("none")
    assert main(asked) == 2
    assert "ca.pem must hold a certificate, as PEM" in capsys.readouterr().err


def test_scheduler_and_workers_are_dask_s_with_our_settings(tmp_path, monkeypatch, capsys):
    begun = []
    monkeypatch.setattr(cluster, "_be", begun.append)
    main(["cluster", "certificates", str(tmp_path / "c")])
    main(["cluster", "scheduler", "--certificates", str(tmp_path / "c")])
    main(["cluster", "worker", "tls://first:8786", "--workers", "3", "--certificates", str(tmp_path / "c")])
    main(["cluster", "scheduler"])
    scheduler, worker, alone = (shlex.join(command) for command in begun)
    assert "--protocol tls" in scheduler
    assert "--host 0.0.0.0" in scheduler
    assert all(name in scheduler and name in worker for name in ("ca.pem", "cert.pem", "key.pem"))
    assert "tls://first:8786 --nworkers 3 --nthreads 1" in worker
    assert "--host 127.0.0.1" in alone  # without certificates nobody else reaches it
    capsys.readouterr()
    assert main(["cluster", "worker", "local:2"]) == 2
    assert main(["cluster", "scheduler", "--certificates", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert "a worker joins a scheduler that is there" in error
    assert "must hold ca.pem, cert.pem, key.pem" in error


def test_an_engine_gives_this_process_s_numbers(capsys):
    asked = ["--task", "rank", "--methods", "lora,dora", "--rank", "2", "--seeds", "2", "--steps", "6", "--json"]
    answers = []
    for where in ([], ["--scheduler", "crew:1"]):
        for command in ("sweep", "compare"):
            more = ["--no-history"] if command == "sweep" else []
            assert main([command, *asked, *more, *where]) == 0
            told = capsys.readouterr()
            answers.append(json.loads(told.out))
            assert ("1 worker. When this process ends" in told.err) == bool(where)
    here, there = answers[:2], answers[2:]
    losses = [sorted((run["method"], run["seed"], run["losses"]) for run in one["runs"]) for one in (here[0], there[0])]
    assert losses[0] == losses[1]
    assert here[1]["paired"] == there[1]["paired"]

"""What train and sweep finish is in the history, which the terminal lists, shows, exports, imports and prunes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from peftcalc.cli import main
from peftcalc.jobs.history.kept_run import new_run
from peftcalc.lab.runs.kept_race import RACE

TRAIN = ["train", "--task", "rank", "--rank", "2", "--alpha", "6", "--steps", "2", "--seed", "3", "--json"]
SWEEP = ["sweep", "--task", "rank", "--methods", "lora", "--rank", "1,2", "--seeds", "1", "--steps", "2", "--json"]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "history.sqlite"
    monkeypatch.setenv("PEFTCALC_HISTORY", str(path))
    return path


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    capsys.readouterr()
    assert main(["history", "list", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_from_training_to_another_machine_and_to_oblivion(kept: Path, capsys, monkeypatch, tmp_path: Path):
    assert main(TRAIN) == 0
    assert main(SWEEP) == 0
    assert main([*TRAIN, "--no-history"]) == 0
    sweep, train = listed(capsys)
    assert (train["kind"], train["source"], train["state"]) == (RACE, "train", "done")
    assert train["settings"]["seeds"] == [3]
    assert "rank=2" in train["link"]
    assert train["results"][0]["method_options"] == {"rank": 2, "alpha": 6.0}
    assert [one["method_options"]["rank"] for one in sweep["results"]] == [1, 2]

    assert main(["history", "show", train["id"], "--records", "--json"]) == 0
    assert [record["step"] for record in json.loads(capsys.readouterr().out)["records"]] == [0, 1, 2]
    assert main(["history", "show", train["id"]]) == 0
    assert "held out before" in capsys.readouterr().out

    lines = tmp_path / "runs.jsonl"
    assert main(["history", "export", str(lines)]) == 0
    assert len(lines.read_text().splitlines()) == 2
    monkeypatch.setenv("PEFTCALC_HISTORY", str(tmp_path / "other.sqlite"))
    assert main(["history", "import", str(lines)]) == 0
    assert "2 new, 0 were there" in capsys.readouterr().out
    assert main(["history", "prune", "--count", "1"]) == 0
    assert "1 forgotten, 1 kept" in capsys.readouterr().out


def test_what_is_imported_and_too_old_is_said(kept: Path, capsys, tmp_path: Path):
    young = new_run(RACE, "train", "young", {})
    old = replace(young, id="old", begun=young.begun - 91 * 86_400)
    lines = tmp_path / "runs.jsonl"
    lines.write_text("".join(json.dumps(replace(run, state="done").as_dict()) + "\n" for run in (young, old)))
    assert main(["history", "import", str(lines)]) == 0
    assert capsys.readouterr().out == "2 new, 0 were there; 1 forgotten: older than 90 days, or too many\n"
    assert [one["title"] for one in listed(capsys)] == ["young"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["list", "--count", "0"], "count must be between 1 and 1,000,000, got 0"),
        (["list", "--count", "-1"], "count must be between 1"),
        (["prune", "--count", "-1"], "count must be between 0"),
        (["prune", "--count", "1e30"], "count must be between 0"),
        (["prune", "--days", "nan"], "days must be between 0 and 1,000,000, got nan"),
        (["prune", "--days", "-1"], "days must be between 0"),
        (["prune", "--days", "inf"], "days must be between 0"),
        (["import", "/dev/zero"], "is a device, not a file"),
        (["import", "{binary}"], "line 1 must be a run"),
    ],
)
def test_what_is_asked_of_a_history_is_one_line(kept: Path, capsys, tmp_path: Path, words, says):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert main(["history", *(word.format(binary=tmp_path / "binary") for word in words)]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_a_history_that_cannot_be_written_is_one_line_and_the_answer_comes(kept: Path, capsys):
    kept.write_bytes(b"no database" * 100)
    assert main(TRAIN) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["step"] == 2
    (line,) = told.err.strip().splitlines()
    assert line.startswith("peftcalc train: this run is not kept. The history history.sqlite is damaged")
    assert main(["history", "list"]) == 2
    assert "damaged" in capsys.readouterr().err


def test_whoever_has_opted_out_is_told(monkeypatch, capsys):
    monkeypatch.setenv("PEFTCALC_HISTORY", "off")
    assert main(["history", "list"]) == 2
    assert "PEFTCALC_HISTORY is off" in capsys.readouterr().err


def test_a_new_key_for_a_classroom_that_is_there(kept: Path, capsys):
    from peftcalc.jobs.classroom import names
    from peftcalc.jobs.classroom.register import found
    from peftcalc.jobs.classroom.restored import restored
    from peftcalc.jobs.history.history import History

    assert main(["classroom", "key"]) == 2
    history = History(kept)
    found(history, "elm-42", names.lock("old"))
    capsys.readouterr()
    assert main(["classroom", "key"]) == 0
    key = capsys.readouterr().out.split()[-1]
    assert restored("elm-42", "", history).is_key(key)
    history.close()


def test_the_app_prints_the_classroom_and_tells_the_server(kept: Path, capsys, monkeypatch):
    from peftcalc.commands import app
    from peftcalc.jobs.classroom import names

    given = {}
    monkeypatch.setattr(app.subprocess, "call", lambda command, cwd, env: given.update(env) or 0)
    monkeypatch.setattr(app, "network_address", lambda: "10.0.0.7")
    with pytest.raises(SystemExit):
        main(["app", "--port", "9000", "--classroom", "elm-42"])
    told = capsys.readouterr().out
    link = "http://10.0.0.7:9000/class?room=elm-42"
    assert link in told
    assert given[names.LINK_VARIABLE] == link
    key = told.partition("The teacher's key: ")[2].split()[0]
    assert names.fits(key, given[names.LOCK_VARIABLE])
    assert main(["app", "--classroom", "no name"]) == 2

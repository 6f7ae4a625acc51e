"""The history outlives its process, waits for what is in its way, and answers each trouble with a sentence."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from peftcalc.jobs.history import history as module
from peftcalc.jobs.history import lines as lines_module
from peftcalc.jobs.history.database import VERSION, HistoryError, explained
from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import KeptRun, new_run, packed, unpacked
from peftcalc.jobs.history.lines import exported, imported, read_lines
from peftcalc.jobs.history.place import history_path

WAIT = 30


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path / "deep" / "history.sqlite")
    yield kept
    kept.close()


def a_run(**changes) -> KeptRun:
    return new_run("race", "app", "LoRA, rank 4", {"rank": 4}, "/train?run={id}", **changes)


def done(name: str, age: float = 0.0) -> KeptRun:
    """A run that ended so many seconds ago."""
    return KeptRun(name, "race", "app", "é", "done", time.time() - age - 1, time.time() - age)


def test_a_run_is_kept_with_what_it_told(history: History):
    run = a_run()
    history.begin(run)
    history.add(run.id, [{"step": 0, "loss": float("nan")}])
    history.add(run.id, [{"step": 1, "loss": 0.5}]).result(WAIT)
    assert history.run(run.id).state == "running"
    history.end(run.id, "done", [{"validation": 0.25}]).result(WAIT)
    kept = history.run(run.id)
    assert (kept.state, kept.settings, kept.results) == ("done", {"rank": 4}, [{"validation": 0.25}])
    assert kept.link == f"/train?run={run.id}"
    assert {"peftcalc", "python"} <= set(kept.versions)
    assert history.records(run.id) == [{"step": 0, "loss": None}, {"step": 1, "loss": 0.5}]
    assert [one.id for one in history.runs()] == [run.id]


def test_a_lease_that_is_over_is_no_running_run(history: History, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LEASE", -1.0)
    run = a_run()
    history.begin(run).result(WAIT)
    assert history.run(run.id).state == "interrupted"
    history._alive.clear()
    history.ask(history._beat).result(WAIT)
    with history.reading() as connection:
        assert connection.execute("SELECT state FROM runs").fetchall() == [("interrupted",)]


def test_a_beat_renews_the_lease_of_what_lives(history: History):
    run = a_run()
    history.begin(run).result(WAIT)
    history.ask(lambda connection: connection.execute("UPDATE runs SET lease = 0") and None).result(WAIT)
    assert history.run(run.id).state == "interrupted"
    history.ask(history._beat).result(WAIT)
    assert history.run(run.id).state == "running"


@pytest.mark.parametrize(
    ("days", "count", "most_bytes", "kept"),
    [(90, 10, 10**9, 3), (1, 10, 10**9, 2), (90, 1, 10**9, 1), (90, 10, 0, 1)],
)
def test_pruning_goes_by_age_count_and_bytes(history: History, days, count, most_bytes, kept):
    for age in (0, 10, 200_000):
        history.keep(done(f"run-{age}", age), [{"step": 1}] if age else []).result(WAIT)
    history.prune(days, count, most_bytes).result(WAIT)
    assert [run.id for run in history.runs()] == ["run-0", "run-10", "run-200000"][:kept]
    with history.reading() as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (max(0, kept - 1),)


def test_a_running_run_is_not_pruned(history: History):
    run = a_run()
    history.begin(run)
    history.prune(0, 0, 0).result(WAIT)
    assert history.run(run.id).state == "running"


def test_export_and_import_are_a_round_trip(history: History, tmp_path: Path):
    for number in range(3):
        history.keep(done(f"r{number}", 3 - number), [{"n": number}])
    history.begin(a_run()).result(WAIT)
    lines = list(exported(history))
    assert len(lines) == 3, "a running run is not exported"
    other = History(tmp_path / "other.sqlite")
    try:
        assert imported(other, lines) == (3, 0)
        assert imported(other, lines) == (0, 3)
        assert list(exported(other)) == lines
        for bad in ("{", "[1]", '{"id": "x"}', json.dumps({**json.loads(lines[0]), "id": "y", "state": "running"})):
            with pytest.raises(ValueError, match="line 2 must be a run"):
                imported(other, [lines[0], bad])
    finally:
        other.close()


HOSTILE = {
    "begun": [float("nan"), float("inf"), 1e12, 10**400, -1, True, "1", None, [1]],
    "ended": [float("nan"), 1e12, 10**400, -1, True, "1"],
    "id": ["", "a" * 41, "-h", "../x", "a b", "\x1b[2J", 5],
    "title": ["\x1b[2J", "two\nlines", "t" * 301, None],
    "kind": ["k" * 201, None],
    "source": ["a\tb", 3],
    "room": ["r" * 201, None],
    "link": ["javascript:alert(1)", "//elsewhere", "/\\elsewhere", "https://elsewhere", "/" * 20_001, " /train", None],
    "settings": [[], None, "text"],
    "versions": [[], {"torch": 2}, {"torch": "\n"}],
    "results": ["text", [1], [None], {}, [{"validation": 10**400}], [{"before": "x"}], [{"validation": True}]],
    "records": [5, None, {}, [1], "text"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in HOSTILE.items() for value in values])
def test_a_line_that_a_list_could_not_show_is_refused(history: History, name: str, value):
    line = json.dumps({**done("a").as_dict(), name: value})
    with pytest.raises(ValueError, match="line 1 must be a run") as refused:
        imported(history, [line])
    assert len(str(refused.value)) < 300
    assert history.runs() == []


def test_what_lies_at_the_bounds_is_a_run(history: History):
    run = done("a" * 40).as_dict() | {
        "begun": 32_503_679_999,
        "ended": None,
        "title": "<i>" * 100,
        "link": "/train?a=b",
    }
    run |= {"kind": "k" * 200, "results": [{"validation": None}, {"before": 1.5e308}], "versions": {"torch": "2.9"}}
    assert imported(history, [json.dumps(run), json.dumps(run | {"id": "b", "link": "", "begun": 0})]) == (2, 0)
    with pytest.raises(ValueError, match="begun cannot be read"):
        imported(history, [json.dumps(run | {"id": "c", "begun": 32_503_680_000})])


def test_a_file_without_an_end_is_read_to_the_longest_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines_module, "MOST_RECORD_BYTES", 10)
    assert [len(line) for line in read_lines(StringIO("a" * 25 + "\nb\n"))] == [11, 11, 4, 2]


def test_a_run_that_another_process_keeps_meanwhile_is_a_sentence(history: History, monkeypatch: pytest.MonkeyPatch):
    history.keep(done("same")).result(WAIT)
    monkeypatch.setattr(History, "runs", lambda *_: [])
    with pytest.raises(HistoryError, match="cannot be used"):
        imported(history, [json.dumps(done("same").as_dict())])


def test_records_that_unfold_without_end_are_cut(monkeypatch: pytest.MonkeyPatch):
    from peftcalc.jobs.history import kept_run

    monkeypatch.setattr(kept_run, "MOST_RECORD_BYTES", 100)
    assert unpacked(packed([{"n": number} for number in range(1000)]))[-1]["n"] < 20


def trouble(path: Path, kind: str) -> None:
    if kind == "damaged":
        path.write_bytes(b"this is no database at all, however long one looks at it" * 20)
    elif kind == "newer":
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        connection.close()
    else:
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "says"), [("damaged", "damaged"), ("newer", "newer version"), ("folder", "cannot be")]
)
def test_a_file_that_cannot_be_used_is_a_sentence_and_stays_as_it_is(tmp_path: Path, kind: str, says: str):
    path = tmp_path / "history.sqlite"
    trouble(path, kind)
    before = path.read_bytes() if path.is_file() else b""
    history = History(path)
    asked = history.begin(a_run())
    with pytest.raises(HistoryError, match=says):
        history.runs()
    history.close()
    assert says in str(asked.exception(WAIT))
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_what_comes_while_another_program_has_the_file_is_kept_afterwards(history: History, monkeypatch):
    from peftcalc.jobs.history import database, writer

    monkeypatch.setattr(database, "WRITER_PATIENCE", 0.05)
    monkeypatch.setattr(writer, "AGAIN", 0.05)
    history.keep(done("first")).result(WAIT)
    other = sqlite3.connect(history.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = history.keep(done("second"))
    end = time.monotonic() + WAIT
    while not history.problem and time.monotonic() < end:
        time.sleep(0.01)
    assert "locked by another program" in history.problem
    assert [run.id for run in history.runs()] == ["first"], "whoever reads is not locked out"
    other.execute("ROLLBACK")
    other.close()
    waiting.result(WAIT)
    assert history.problem == ""
    assert len(history.runs()) == 2


def test_a_full_disk_is_a_sentence():
    assert "no room" in str(explained(sqlite3.OperationalError("database or disk is full"), Path("history.sqlite")))


def test_one_act_that_fails_does_not_hinder_the_others(history: History):
    futures = [history.keep(done(name)) for name in ("same", "same", "other")]
    assert futures[0].exception(WAIT) is None
    assert isinstance(futures[1].exception(WAIT), sqlite3.IntegrityError)
    assert futures[2].exception(WAIT) is None
    assert len(history.runs()) == 2


def test_opting_out_and_the_platforms_places():
    for word in ("off", "OFF ", "0", "none"):
        assert history_path({"PEFTCALC_HISTORY": word, "HOME": "/home/ada"}) is None
    assert history_path({"PEFTCALC_HISTORY": "/data/h.db"}) == Path("/data/h.db")
    assert history_path({}, "linux") is None
    assert history_path({"XDG_DATA_HOME": "/x"}, "linux") == Path("/x/peftcalc/history.sqlite")
    assert "Application Support" in str(history_path({"HOME": "/Users/ada"}, "darwin"))
    assert os.environ["PEFTCALC_HISTORY"] == "off", "no test writes into anybody's home"


KILLED = Path(__file__).parents[2] / "benchmarks" / "killed.py"


@pytest.mark.slow
def test_a_server_that_is_killed_loses_nothing_that_it_has_acknowledged(tmp_path: Path):
    """Twice with thirty runs in hand; `benchmarks/killed.py` does it fifty times."""
    command = [sys.executable, str(KILLED), "--times", "2", "--folder", str(tmp_path), "--json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rounds = json.loads(told)["rounds"]
    assert len(rounds) == 2
    assert all(one["lost"] == 0 and one["integrity"] == "ok" and one["acknowledged"] > 0 for one in rounds)
    assert all(one["running"] == 0 for one in rounds)

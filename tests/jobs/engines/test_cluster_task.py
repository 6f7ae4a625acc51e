"""What a worker of a cluster makes of what is asked of it, and who it says it is; no Dask here."""

from __future__ import annotations

import asyncio

import pytest

from peftcalc.jobs.engines import cluster_task
from peftcalc.jobs.engines.cluster_task import Asked, introduce, work
from peftcalc.jobs.engines.cluster_worker import ClusterWorker
from peftcalc.jobs.engines.version import this_version
from peftcalc.jobs.worker import Worker


@pytest.fixture
def asked():
    """A part's ear, and the variable that it looks at, which a test sets."""
    variable = {"state": {"number": 0, "goes": 0, "pauses": 0, "parameters": {}}, "wanted": True}
    ear = Asked(lambda timeout: variable["state"], lambda: variable["wanted"])
    yield ear, variable
    ear.close()


def task_of(sent):
    worker = ClusterWorker("tls://second:1", "place", 7, lambda what, _, task: sent.append((what, task)))
    worker.tell(do="run", part=3, kind="count", parameters={}, until=None)
    return worker, next(iter(worker.tasks.values()))


def heard(ear, variable, state):
    variable["state"] = state
    ear.wait()
    return list(ear.news(3))


def test_what_is_told_arrives_as_it_would_in_a_process(asked, monkeypatch):
    monkeypatch.setattr(cluster_task, "EVERY", 0.001)
    ear, variable = asked
    worker, task = task_of([])
    task.heard = True
    ear.listen()
    worker.tell(do="pause", part=3, until=9)
    assert heard(ear, variable, task.state) == [{"do": "pause", "part": 3, "until": 9}]
    worker.tell(do="go", part=3, until=10)
    worker.tell(do="change", part=3, parameters={"watch": "q"})
    worker.tell(do="pause", part=3, until=12)  # three before it looks again: none is lost
    assert heard(ear, variable, task.state) == [
        {"do": "change", "part": 3, "parameters": {"watch": "q"}},
        {"do": "go", "part": 3, "until": 12},
        {"do": "pause", "part": 3, "until": 12},
    ]
    assert list(ear.news(3)) == []
    worker.tell(do="stop", part=3)
    assert heard(ear, variable, task.state) == [{"do": "stop", "part": 3}]


def test_a_part_that_nobody_wants_any_more_stops(asked, monkeypatch):
    monkeypatch.setattr(cluster_task, "EVERY", 0.001)
    ear, variable = asked
    variable["wanted"] = False
    ear.listen()
    ear.wait()
    assert list(ear.news(3)) == [{"do": "stop", "part": 3}]


def test_a_task_that_has_told_nothing_is_taken_back_and_no_worker_is_blamed():
    sent = []
    worker, _ = task_of(sent)
    worker.tell(do="stop", part=3)
    assert [what for what, _ in sent] == ["begin", "take back"]
    assert not worker.tasks


def test_a_parked_part_leaves_its_thread_and_takes_it_again(asked, monkeypatch):
    monkeypatch.setattr(cluster_task, "EVERY", 0.001)
    ear, variable = asked
    told, acts = [], []

    def count(parameters, folder):
        yield from ((step, step / 5, [{"step": step}]) for step in range(5))

    def leave():
        acts.append("leave")
        variable["state"] = {"number": 1, "goes": 1, "pauses": 0, "until": None, "parameters": {}}

    part = Worker({"count": count}, told.append)
    part.obey({"do": "run", "part": 3, "kind": "count", "parameters": {}, "folder": "", "until": 2, "skip": 1})
    ear.listen()
    work(part, 3, ear, leave, lambda: acts.append("take"))
    assert acts == ["leave", "take"]
    assert {"part": 3, "parked": 2} in told
    records = [record["step"] for message in told for record in message.get("records", ())]
    assert records == [1, 2, 3, 4]  # the first was known
    assert told[-1] == {"part": 3, "ended": "done", "message": ""}


def test_a_worker_of_another_version_loads_nothing(monkeypatch):
    monkeypatch.setattr(cluster_task, "_loaded", lambda rooms: {"devices": [["cpu", "CPU"]]})
    assert "hello" in asyncio.run(introduce(("busy_room",), this_version()))
    other = asyncio.run(introduce(("busy_room",), "0.0.9 (00000000)"))
    assert "hello" not in other
    assert other["version"] == this_version()


def test_the_version_is_that_of_the_source_a_worker_loads(tmp_path, monkeypatch):
    from peftcalc.jobs.engines import version

    (tmp_path / "ui").mkdir()
    for place in ("a.py", "ui/b.py"):
        (tmp_path / place).write_text("x = 1\n")
    monkeypatch.setattr(version, "PACKAGE", tmp_path)
    told = []
    for place, text in (("a.py", "x = 1\n"), ("ui/b.py", "x = 2\n"), ("a.py", "x = 2\n")):
        (tmp_path / place).write_text(text)
        told.append(version.this_version.__wrapped__())
    assert told[0] == told[1] != told[2]

"""What a worker of a cluster makes of what is asked of it, and who it says it is; no Dask here."""

from __future__ import annotations

import asyncio

import pytest

from peftcalc.jobs.engines import cluster_task
from peftcalc.jobs.engines.cluster_task import Asked, introduce, work
from peftcalc.jobs.engines.cluster_worker import ClusterWorker
from peftcalc.jobs.engines.version import this_version
from peftcalc.jobs.worker import Worker


def task_of(sent):
    worker = ClusterWorker("tls://second:1", "place", 7, lambda what, _, task: sent.append((what, task)))
    worker.tell(do="run", part=3, kind="count", parameters={}, until=None)
    return worker, next(iter(worker.tasks.values()))


def begun(told, until, skip=0):
    def count(parameters, folder):
        yield from ((step, step / 5, [{"step": step}]) for step in range(5))

    part = Worker({"count": count}, told.append)
    part.obey({"do": "run", "part": 3, "kind": "count", "parameters": {}, "folder": "", "until": until, "skip": skip})
    return part


def heard(ear, state):
    ear.hear(state)
    return list(ear.news(3))


def test_what_is_told_arrives_as_it_would_in_a_process():
    ear, (worker, task) = Asked(), task_of([])
    worker.tell(do="pause", part=3, until=9)
    early = task.state
    assert heard(ear, early) == [{"do": "pause", "part": 3, "until": 9}]
    worker.tell(do="go", part=3, until=10)
    worker.tell(do="change", part=3, parameters={"watch": "q"})
    worker.tell(do="pause", part=3, until=12)  # three before it looks again: none is lost
    assert heard(ear, task.state) == [
        {"do": "change", "part": 3, "parameters": {"watch": "q"}},
        {"do": "go", "part": 3, "until": 12},
        {"do": "pause", "part": 3, "until": 12},
    ]
    assert list(ear.news(3)) == []
    assert heard(ear, early) == []  # overtaken
    task.heard = True
    worker.tell(do="stop", part=3)
    assert heard(ear, task.state) == [{"do": "stop", "part": 3}]


def test_what_is_asked_of_a_task_that_is_over_is_left_alone():
    cluster_task.ask("peftcalc-part-0", {"number": 1})


@pytest.mark.parametrize("until", [None, 2])
def test_a_part_that_nobody_wants_any_more_stops_running_or_parked(until, monkeypatch):
    monkeypatch.setattr(cluster_task, "EVERY", 0.001)
    told, wishes = [], iter([True] * 5)
    part = begun(told, until)
    work(part, 3, Asked(), lambda: next(wishes, False), lambda: None, lambda: None)
    assert told[-1] == {"part": 3, "ended": "stopped", "message": ""}


def test_what_is_asked_before_a_task_can_hear_is_sent_when_it_can():
    sent = []
    worker, task = task_of(sent)
    worker.tell(do="pause", part=3, until=9)
    assert [what for what, _ in sent] == ["begin"]
    task.heard = True
    worker.tell(do="pause", part=3, until=12)
    assert [what for what, _ in sent] == ["begin", "ask"]
    assert task.state["number"] == 2


def test_a_task_that_has_told_nothing_is_taken_back_and_no_worker_is_blamed():
    sent = []
    worker, _ = task_of(sent)
    worker.tell(do="stop", part=3)
    assert [what for what, _ in sent] == ["begin", "take back"]
    assert not worker.tasks


def test_a_parked_part_leaves_its_thread_and_takes_it_again():
    told, acts, ear = [], [], Asked()

    def leave():
        acts.append("leave")
        ear.hear({"number": 1, "goes": 1, "pauses": 0, "until": None, "parameters": {}})

    work(begun(told, 2, skip=1), 3, ear, lambda: True, leave, lambda: acts.append("take"))
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

"""The queue of jobs: fair, bounded, and a crash is one job's affair."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import ended, until

from peftcalc.jobs.engines.crew import Crew
from peftcalc.jobs.job import Job
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits
from peftcalc.jobs.waiting_line import WaitingLine
from peftcalc.jobs.worker import Worker

COMMAND = (sys.executable, str(Path(__file__).with_name("busy_worker.py")))


@pytest.fixture
def make_queue():
    queues = []

    def make(workers=1, command=COMMAND, **limits):
        queues.append(JobQueue(command, workers, Limits(**limits)))
        return queues[-1]

    yield make
    for queue in queues:
        queue.close()


SLOW = {"steps": 10_000, "seconds": 0.01}


def test_visitors_take_turns(make_queue):
    queue = make_queue(workers=1, jobs_of_visitor=10)
    first = queue.submit("ada", "count", [SLOW])
    until(lambda: first.records)
    greedy = [queue.submit("ada", "count", [{"steps": 1}]) for _ in range(5)]
    modest = queue.submit("bob", "count", [{"steps": 1}])
    assert queue.standing(modest).ahead == 1
    assert queue.standing(greedy[4]).ahead == 5
    assert queue.standing(greedy[4]).seconds > queue.standing(modest).seconds > 0
    queue.stop(first)
    ended(modest, *greedy)


def test_a_thousand_clicks_grow_nothing(make_queue):
    queue = make_queue()
    jobs = [queue.submit("ada", "count", [SLOW]) for _ in range(1000)]
    assert sum(job.alive for job in jobs) == queue.limits.jobs_of_visitor
    assert len(queue._line) <= len(queue._alive) <= queue.limits.jobs_of_visitor
    until(lambda: jobs[-2].records or jobs[-1].records)
    assert len(queue.engine.hands) <= 2


def test_the_line_has_an_end(make_queue):
    queue = make_queue(waiting=3)
    running = queue.submit("first", "count", [SLOW])
    until(lambda: running.records)
    for visitor in range(3):
        queue.submit(str(visitor), "count", [SLOW])
    with pytest.raises(ValueError, match="The line is full: 3 runs wait"):
        queue.submit("last", "count", [SLOW])


def test_an_error_of_the_program_tells_no_details(make_queue, capfd):
    job = make_queue().submit("ada", "break_down", [{}])
    ended(job)
    assert job.state == "failed"
    assert "RuntimeError" in job.message
    assert "secret" not in job.message
    assert "secret" in capfd.readouterr().err  # for the one who runs the server


def test_a_crash_is_one_job_s_affair(make_queue):
    queue = make_queue(workers=2)
    other = queue.submit("bob", "count", [{"steps": 300, "seconds": 0.01}])
    until(lambda: other.records)
    before = set(queue.process_ids)
    job = queue.submit("ada", "crash", [{}])
    ended(job)
    assert job.state == "failed"
    assert "signal 9" in job.message
    ended(other)
    assert other.state == "done"
    until(lambda: len(queue.process_ids) == 2 and set(queue.process_ids) != before)
    after = queue.submit("ada", "count", [{"steps": 1}])
    ended(after)
    assert after.state == "done"


def test_a_part_whose_worker_was_lost_is_run_again_and_tells_nothing_twice(make_queue):
    queue = make_queue(again=1)
    job = queue.submit("ada", "count", [{"steps": 200, "seconds": 0.01}])
    until(lambda: job.step > 20)
    os.kill(queue.process_ids[0], signal.SIGKILL)
    ended(job)
    assert (job.state, len(job.notes)) == ("done", 1)
    assert job.notes[0].endswith("(signal 9). It is run again from its beginning.")
    assert [record["step"] for record in job.records] == list(range(200))
    job = queue.submit("ada", "crash", [{}])
    ended(job)
    assert (job.state, len(job.notes)) == ("failed", 1)  # once again, not for ever


def test_a_part_that_does_not_stop_costs_its_worker(make_queue):
    queue = make_queue()
    job = queue.submit("ada", "hang", [{}])
    until(lambda: job.records)
    queue.stop(job)
    queue.keep_house(time.monotonic() + queue.limits.patience + 1)
    after = queue.submit("ada", "count", [{"steps": 1}])
    ended(after)
    assert (job.state, after.state) == ("stopped", "done")


@pytest.mark.parametrize(
    ("limit", "words"), [("away", "nobody looked"), ("running", "limit of this server"), ("paused", "pause of")]
)
def test_limits_of_time(make_queue, limit, words):
    generous = {"away": 1e9, "running": 1e9, "paused": 1e9}
    queue = make_queue(**{**generous, limit: 120.0})
    job = queue.submit("ada", "count", [SLOW])
    until(lambda: job.records)
    if limit == "paused":
        queue.pause(job)
    queue.keep_house(time.monotonic() + 110)
    assert job.alive
    queue.keep_house(time.monotonic() + 130)
    assert job.state == "stopped"
    assert words in job.message


def test_a_look_keeps_a_job_alive(make_queue):
    queue = make_queue()
    job = queue.submit("ada", "count", [SLOW])
    job.seen -= 119
    queue.touch(job)
    queue.keep_house(time.monotonic() + 110)
    assert job.alive


def test_workers_that_never_start_are_one_sentence(make_queue):
    queue = make_queue(command=(sys.executable, "-c", "raise SystemExit(3)"))
    until(lambda: queue.problem)
    with pytest.raises(ValueError, match="do not start"):
        queue.submit("ada", "count", [{}])


def test_workers_that_died_three_times_are_started_again_after_growing_pauses(make_queue, tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("peftcalc.jobs.engines.crew.time.monotonic", lambda: clock[0])
    works = tmp_path / "works"
    started = tmp_path / "started"
    source = (
        f"import pathlib, runpy; open({str(started)!r}, 'a').write('x'); "
        f"pathlib.Path({str(works)!r}).exists() or exit(3); runpy.run_path({COMMAND[1]!r}, run_name='__main__')"
    )
    queue = make_queue(workers=2, command=(sys.executable, "-c", source))
    until(lambda: queue.problem)
    assert queue.problem.endswith("The next try is in 30 s.")
    tries = len(started.read_text())
    for pause in (30, 60, 120):
        queue.keep_house(clock[0] + pause - 1)
        assert queue.problem
        assert len(started.read_text()) == tries
        clock[0] += pause
        queue.keep_house(clock[0])
        until(lambda: queue.problem)
        tries += 1
        assert len(started.read_text()) == tries
    assert queue.problem.endswith("The next try is in 4 min 0 s.")
    with pytest.raises(ValueError, match="next try"):
        queue.submit("ada", "count", [{}])
    works.touch()
    queue.keep_house(clock[0] + 1_800)
    until(lambda: queue.ready and queue.workers == 2)
    assert queue.problem == ""
    job = queue.submit("ada", "count", [{"steps": 1}])
    ended(job)
    assert job.state == "done"


def test_the_longest_pause_is_half_an_hour():
    crew = Crew(1, (sys.executable, "-c", "raise SystemExit(3)"), lambda worker, message: None)
    pauses = []
    for _ in range(3 + 9):
        until(lambda: crew.workers[0].process.poll() is not None)
        crew.next_start = None
        crew.lose(crew.workers[0])
        if crew.next_start is not None:
            pauses.append(round(crew.next_start - time.monotonic()))
            crew.revive(math.inf)
    assert pauses[:4] == [30, 60, 120, 240]
    assert max(pauses) == pauses[-1] == 1_800


def test_no_room_for_files_is_a_sentence(make_queue, monkeypatch):
    queue = make_queue()
    job = queue.submit("ada", "fill", [{}])
    ended(job)
    assert (job.state, job.message) == ("failed", "there is no room for its files on this server")
    job = queue.submit("ada", "swell", [{}])
    ended(job)
    assert "more memory" in job.message

    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("peftcalc.jobs.job.tempfile.mkdtemp", full)
    with pytest.raises(ValueError, match=r"no room for the files .* No space left"):
        queue.submit("ada", "count", [{}])
    assert queue.ready


def test_without_torch_the_queue_says_so(make_queue):
    hello = {"devices": [], "problem": "Training needs PyTorch."}
    source = f"from peftcalc.jobs.worker import serve; serve({{}}, lambda: {hello})"
    queue = make_queue(command=(sys.executable, "-c", source))
    until(lambda: queue.problem)
    assert queue.problem == "Training needs PyTorch."
    assert not queue.ready


def test_workers_end_with_the_queue(make_queue):
    queue = make_queue(workers=2)
    until(lambda: queue.ready)
    ids = queue.process_ids
    queue.close()
    for process in ids:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_the_line_finishes_a_job_that_has_begun_before_the_next():
    line = WaitingLine()
    jobs = [Job("ada", "count", [{}, {}]), Job("ada", "count", [{}]), Job("bob", "count", [{}])]
    for job in jobs:
        line.append(job)
    order = []
    while (taken := line.take()) is not None:
        job, part = taken
        part.state = "running"
        order.append(jobs.index(job))
    assert order == [0, 0, 2, 1]


def test_the_queue_needs_no_torch():
    heavy = ("torch", "streamlit", "transformers")
    code = f"import sys, peftcalc.jobs.job_queue; print(*[m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == []


def test_time_left_is_the_pace_since_the_first_step(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    job = Job("ada", "count", [{}])
    part = job.parts[0]
    part.state, part.begun = "running", 100.0
    assert job.seconds_left == float("inf")
    clock[0] = 130.0  # half a minute of loading
    part.reached(0, 0.0, 1)
    clock[0] = 140.0
    part.reached(25, 0.25, 26)
    assert job.seconds_left == pytest.approx(30.0)
    part.state = "ended"
    assert job.seconds_left == 0.0


def test_a_job_can_be_led_from_its_first_step_and_waits_paused(make_queue):
    queue = make_queue(workers=1)
    job = queue.submit("ada", "count", [SLOW], until=1)
    until(lambda: job.parts[0].state == "parked")
    assert (job.state, job.step) == ("paused", 1)
    other = queue.submit("bob", "count", [{"steps": 2}])  # nobody waits for it
    ended(other)
    job.seen = job.paused_since + queue.limits.paused  # somebody looks at it all the while
    queue.keep_house(job.paused_since + queue.limits.paused - 1)
    assert job.state == "paused"
    queue.keep_house(job.paused_since + queue.limits.paused + 1)
    assert (job.state, job.message) == ("stopped", "It ended after a pause of 10 minutes.")


def test_a_parameter_changes_under_way(make_queue):
    queue = make_queue(workers=1)
    job = queue.submit("ada", "count", [{**SLOW, "name": "a"}])
    until(lambda: job.records)
    queue.change(job, name="b")
    until(lambda: job.records[-1]["name"] == "b")
    queue.stop(job)


def test_a_step_without_records_is_told_once_and_one_that_never_came_is_not(monkeypatch, tmp_path):
    monkeypatch.setattr("peftcalc.jobs.worker.EVERY", 0.0)
    told: list[dict] = []

    def quiet(parameters, folder):
        yield 1, 0.5, []
        yield 2, 1.0, [{"found": 3}]

    def refused(parameters, folder):
        raise ValueError("no")
        yield

    worker = Worker({"quiet": quiet, "refused": refused}, told.append)
    for number, kind in enumerate(("quiet", "refused")):
        worker.obey({"do": "run", "part": number, "kind": kind, "parameters": {}, "folder": str(tmp_path)})
        while worker.active is not None:
            worker.advance()
    assert [one.get("step") for one in told] == [1, 2, None, None]
    assert [one.get("ended") for one in told] == [None, None, "done", "failed"]

"""What holds for a queue whichever engine carries out its parts: the crew's processes, or a Dask scheduler's workers.

Dask is real, its scheduler and two workers being threads of this process: what is said between them is said in memory.
"""

from __future__ import annotations

import gc
import sys
from functools import partial
from pathlib import Path

import pytest
from dask import config
from waiting import ended, until

from peftcalc.jobs.engines import cluster_members, cluster_task
from peftcalc.jobs.engines.addresses import Address
from peftcalc.jobs.engines.cluster import Cluster
from peftcalc.jobs.job import MAX_RECORDS
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits

COMMAND = (sys.executable, str(Path(__file__).parents[1] / "busy_worker.py"))
SLOW = {"steps": 10_000, "seconds": 0.01}


@pytest.fixture(scope="module")
def dask():
    from distributed import LocalCluster

    places = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **places) as cluster:
        yield Address("dask", url=cluster.scheduler_address)


@pytest.fixture(params=["crew", "cluster"])
def make_queue(request, monkeypatch):
    queues = []
    monkeypatch.setattr(cluster_task, "_loaded", lambda rooms: {"devices": [["cpu", "CPU"]]})

    def make(**limits):
        if request.param == "crew":
            queues.append(JobQueue(COMMAND, 2, Limits(**limits)))
        else:
            start = partial(Cluster, request.getfixturevalue("dask"), ("busy_room",))
            queues.append(JobQueue(start, limits=Limits(**limits)))
        queue = queues[-1]
        until(lambda: len(queue.engine) == 2 and not queue.engine.coming)
        return queue

    yield make
    for queue in queues:
        queue.close()


def test_records_come_in_order_and_all(make_queue):
    queue = make_queue()
    jobs = [queue.submit(visitor, "count", [{"steps": 500, "name": visitor}]) for visitor in ("ada", "bob")]
    ended(*jobs)
    for job in jobs:
        assert (job.state, job.message, job.progress) == ("done", "", 1.0)
        assert job.records == [{"name": job.visitor, "step": step} for step in range(500)]


def test_it_says_what_it_is_and_what_can_be_trained_on(make_queue):
    engine = make_queue().engine
    assert engine.devices == (("cpu", "CPU"),)
    assert engine.about
    assert "lost" in engine.loss


def test_parts_run_side_by_side_and_a_stopped_job_frees_their_workers(make_queue):
    queue = make_queue()
    job = queue.submit("ada", "count", [{**SLOW, "name": "a"}, {**SLOW, "name": "b"}])
    until(lambda: {record["name"] for record in job.records} == {"a", "b"})
    queue.stop(job)
    told = len(job.records)
    after = queue.submit("ada", "count", [{"steps": 1}, {"steps": 1}])
    ended(after)
    assert (job.state, after.state) == ("stopped", "done")
    assert told <= len(job.records) < 2_000


def test_a_pause_is_at_the_same_step_for_all_parts_and_single_steps_are_single(make_queue):
    queue = make_queue()
    job = queue.submit("ada", "count", [SLOW, {**SLOW, "seconds": 0.02}])
    until(lambda: job.step > 5)
    queue.pause(job)
    until(lambda: all(part.state == "parked" for part in job.parts))
    paused_at = job.step
    assert [part.step for part in job.parts] == [paused_at, paused_at]
    queue.step(job)
    until(lambda: all(part.state == "parked" and part.step == paused_at + 1 for part in job.parts))
    queue.resume(job)
    until(lambda: job.step > paused_at + 5)
    assert job.state == "running"
    queue.stop(job)


def test_a_pause_is_heard_that_comes_before_the_first_step(make_queue):
    queue = make_queue()
    job = queue.submit("ada", "count", [SLOW])
    queue.pause(job)
    until(lambda: job.parts[0].state == "parked")
    assert job.state == "paused"
    queue.stop(job)


def test_paused_jobs_hold_no_worker_and_the_one_paused_first_makes_room(make_queue):
    queue = make_queue(parked=1)
    jobs = []
    for visitor in ("ada", "bob", "eve"):
        jobs.append(queue.submit(visitor, "count", [SLOW, SLOW]))
        until(lambda: jobs[-1].step >= 0)
        queue.pause(jobs[-1])
        until(lambda: all(part.state == "parked" for part in jobs[-1].parts))
        other = queue.submit("carl", "count", [{"steps": 3}, {"steps": 3}])
        ended(other)
        assert other.state == "done"
        assert jobs[-1].state == "paused"
    assert [job.state for job in jobs] == ["stopped", "stopped", "paused"]
    assert "paused" in jobs[0].message


def test_what_goes_wrong_is_a_sentence_without_details(make_queue):
    queue = make_queue()
    for kind, sentence in {
        "refuse": "rank must be between 1 and 64, got 99",
        "break_down": "the run ended with an error of the program (RuntimeError)",
        "fill": "there is no room for its files on this server",
        "swell": "it needs more memory than a run may have on this server",
    }.items():
        job = queue.submit("ada", kind, [{}])
        ended(job)
        assert (job.state, job.message) == ("failed", sentence)


def test_records_are_bounded_and_json_without_nan(make_queue):
    job = make_queue().submit("ada", "chatter", [{"records": MAX_RECORDS + 500}])
    ended(job)
    assert len(job.records) == MAX_RECORDS
    assert job.records[0] == {"step": 0, "loss": None}


def test_files_come_to_the_job_and_go_with_it(make_queue):
    queue = make_queue()
    job = queue.submit("ada", "write", [{}])
    ended(job)
    folder = job.folder
    assert (folder / "adapter.zip").read_bytes() == b"zip"
    del job
    until(lambda: gc.collect() is not None and not folder.exists())


def test_a_parameter_changes_under_way(make_queue):
    queue = make_queue()
    job = queue.submit("ada", "count", [{**SLOW, "name": "a"}])
    until(lambda: job.records)
    queue.change(job, name="b")
    until(lambda: job.records[-1]["name"] == "b")
    queue.stop(job)


def test_a_worker_counts_once_however_often_dask_s_client_looks_by_itself(dask, monkeypatch):
    monkeypatch.setattr(cluster_task, "_loaded", lambda rooms: {"devices": [["cpu", "CPU"]]})
    monkeypatch.setattr(cluster_members, "LOOK", 0.001)
    there, sets = Cluster._there, []
    monkeypatch.setattr(Cluster, "_there", lambda self, members: (sets.append(len(members)), there(self, members)))
    with config.set({"distributed.client.scheduler-info-interval": "2ms"}):
        queue = JobQueue(partial(Cluster, dask, ("busy_room",)))
        try:
            until(lambda: len(sets) > 200)
        finally:
            queue.close()
    assert set(sets) == {2}
    assert len(queue.engine) == 2


def test_a_worker_of_another_version_is_refused_by_name(dask, monkeypatch):
    monkeypatch.setattr(cluster_task, "this_version", lambda: "0.0.9 (00000000)")
    other = JobQueue(partial(Cluster, dask, ("busy_room",)))
    try:
        until(lambda: len(other.engine.refusals) == 2)
        assert all(
            "the worker inproc://" in one and "peftcalc 0.0.9 (00000000)" in one for one in other.engine.refusals
        )
        until(lambda: other.problem)
        with pytest.raises(ValueError, match="No worker of the cluster can be used: the worker inproc://"):
            other.submit("ada", "count", [{"steps": 1}])
    finally:
        other.close()

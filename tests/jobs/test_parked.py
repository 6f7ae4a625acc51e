"""How many paused runs a worker holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits


@pytest.mark.parametrize(("held", "stopped"), [(2, []), (3, ["run 1"])])
def test_one_more_than_its_share_takes_the_place_of_the_first_that_was_paused(held: int, stopped: list[str]):
    times = (5.0, 2.0, 9.0)[:held]
    jobs = [SimpleNamespace(name=f"run {n}", alive=True, paused_since=time) for n, time in enumerate(times)]
    ended = SimpleNamespace(name="over", alive=False, paused_since=0.0)
    hands = [SimpleNamespace(job=job) for job in [ended, *jobs]]
    told: list[str] = []
    queue: Any = SimpleNamespace(
        engine=SimpleNamespace(parked_on=lambda worker: hands),
        limits=Limits(work="training", parked=2),
        stop=lambda job, sentence: told.append(job.name),
    )
    JobQueue._make_room(queue, None)  # pyright: ignore[reportArgumentType]
    assert told == stopped

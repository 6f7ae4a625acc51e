"""Many parts for one who waits for all of them: a queue of its own without a visitor's limits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from peftcalc.jobs.engines.addresses import Address
from peftcalc.jobs.engines.chosen import engine_line, open_queue
from peftcalc.jobs.job import Job
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits

LIMITS = Limits(
    jobs_of_visitor=10**9,
    waiting=10**9,
    running=math.inf,
    paused=math.inf,
    away=math.inf,
    records=10**9,
    again=2,
)
"""Of whoever has asked for the whole and waits for it; a run that loses three workers is what ends them."""
WAIT_SECONDS, LATE_SECONDS = 180.0, 60.0
"""For a first worker, and for those that are known to come."""
AHEAD = 4
"""Parts in the queue for each worker."""
EVERY = 0.02
"""Seconds between two looks."""


class Batch:
    """Carries out parts, each a job.

    Args:
        queue: with `LIMITS`.
        say: called with what happens under way, a sentence each.
    """

    def __init__(self, queue: JobQueue, say: Callable[[str], None]) -> None:
        self.queue, self.say = queue, say
        self._said: set[str] = set()

    @property
    def workers(self) -> int:
        """How many parts run at the same time."""
        return self.queue.workers

    def wait(self, seconds: float = WAIT_SECONDS) -> None:
        """For a worker; then say which engine works.

        Raises:
            ValueError: none has come, or none can.
        """
        begun = time.monotonic()
        while not self.queue.ready or self.queue.engine.coming:
            if problem := self.queue.problem:
                raise ValueError(problem)
            waited = time.monotonic() - begun
            if self.queue.ready and waited > LATE_SECONDS:
                break
            if waited > seconds:
                raise ValueError(f"{self.queue.engine.about} has no worker yet, after {seconds:g} seconds")
            time.sleep(EVERY)
        list(self._told({}))
        self.say(engine_line(self.queue))

    def carry_out(self, kind: str, parts: Sequence[dict[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Carry them all out, and yield the place of a part and new records of it as they come.

        Raises:
            ValueError: one of them has failed, or no worker is left; what was told before has been yielded.
        """
        waiting = list(enumerate(parts))[::-1]
        going: dict[int, Job] = {}
        try:
            while going or waiting:
                while waiting and len(going) < AHEAD * self.workers:
                    place, part = waiting.pop()
                    going[place] = self.queue.submit("batch", kind, [part])
                ended = {place: job for place, job in going.items() if not job.alive}
                yield from self._told(going)
                for place, job in ended.items():
                    if job.state != "done":
                        raise ValueError(job.message)
                    del going[place]
                time.sleep(EVERY)
        finally:
            for job in going.values():
                self.queue.stop(job)

    def _told(self, going: dict[int, Job]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """New records of each, which are taken from it, and what else is to be said."""
        for place, job in going.items():
            for number, note in enumerate(job.notes):
                self._say(note, (place, number))
            if count := len(job.records):
                told = job.records[:count]
                del job.records[:count]
                yield place, told
        for refusal in self.queue.engine.refusals:
            self._say(f"Refused: {refusal}.", refusal)

    def _say(self, sentence: str, what: object) -> None:
        if what not in self._said:
            self._said.add(what)  # type: ignore[arg-type]
            self.say(sentence)


@contextmanager
def batch(address: Address, rooms: tuple[str, ...], say: Callable[[str], None]) -> Iterator[Batch]:
    """Where parts are carried out; within it the workers are there, and a first one is ready.

    Raises:
        ValueError: none can be had.
    """
    with closing(open_queue(address, rooms, LIMITS)) as queue:
        found = Batch(queue, say)
        found.wait()
        yield found

"""The waiting line: visitors take turns, a job at a time, and everybody is told for about how long."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from peftcalc.jobs.job import Job, JobPart

FIRST_GUESS = 8.0
"""Seconds of a part of a kind that has never run."""
MEMORY = 0.7
"""Weight of what was known when another part of the kind has run."""


@dataclass(frozen=True)
class Standing:
    """A waiting job's place."""

    ahead: int
    """Jobs that begin earlier."""
    seconds: float
    """Estimated wait."""


class WaitingLine:
    """Jobs with parts that no worker has begun, in the order in which they will be."""

    def __init__(self) -> None:
        self._of_visitor: OrderedDict[str, deque[Job]] = OrderedDict()
        self._begun: deque[Job] = deque()
        """Jobs of which some parts have begun: they are finished first, so that methods race side by side."""
        self._typical: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._begun) + sum(len(jobs) for jobs in self._of_visitor.values())

    def __iter__(self) -> Iterator[Job]:
        """In the order of their turns: each visitor's first job, then each one's second."""
        rounds = zip_longest(*self._of_visitor.values())
        return chain(self._begun, (job for jobs in rounds for job in jobs if job is not None))

    def append(self, job: Job) -> None:
        """To the end of its visitor's jobs."""
        self._of_visitor.setdefault(job.visitor, deque()).append(job)

    def again(self, job: Job) -> None:
        """A part that a worker had begun waits for another one: before all that have not begun."""
        if job not in self._begun:
            self._begun.appendleft(job)

    def discard(self, job: Job) -> None:
        """Out of the line, if it is in it."""
        if job in self._begun:
            self._begun.remove(job)
        jobs = self._of_visitor.get(job.visitor, deque())
        if job in jobs:
            jobs.remove(job)
            if not jobs:
                del self._of_visitor[job.visitor]

    def take(self) -> tuple[Job, JobPart] | None:
        """The next part; after its first part a job's visitor goes to the end of the line."""
        job = next(iter(self), None)
        if job is None:
            return None
        waiting = [part for part in job.parts if part.state == "waiting"]
        if job not in self._begun:
            self.discard(job)
            if job.visitor in self._of_visitor:
                self._of_visitor.move_to_end(job.visitor)
            if len(waiting) > 1:
                self._begun.append(job)
        elif len(waiting) == 1:
            self._begun.remove(job)
        return job, waiting[0]

    def learn(self, kind: str, seconds: float) -> None:
        """A part of this kind has taken so long."""
        known = self._typical.get(kind, seconds)
        self._typical[kind] = MEMORY * known + (1 - MEMORY) * seconds

    def standing(self, job: Job, running: Sequence[tuple[Job, JobPart]], workers: int) -> Standing:
        """Place and estimated wait: the work that is left before it, spread over the workers."""
        now, ahead, work = time.monotonic(), 0, 0.0
        for other, part in running:
            if part.state == "running":
                spent = part.seconds(now)
                whole = spent / part.progress if part.progress > 0.05 else max(self._expected(other), spent)
                work += whole - spent
        for other in self:
            if other is job:
                break
            ahead += 1
            work += self._expected(other) * sum(part.state == "waiting" for part in other.parts)
        return Standing(ahead, work / max(1, workers))

    def _expected(self, job: Job) -> float:
        return self._typical.get(job.kind, FIRST_GUESS)

"""The worker processes of a queue and what each has in hand; the queue's lock is held whenever a method is called."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peftcalc.jobs.job import Job, JobPart
from peftcalc.jobs.worker_process import Starter, WorkerProcess

STARTS = 3
"""Workers that end before they are ready, in a row, until there is a pause before the next."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 1_800.0
"""The first pause, each being twice the one before it, and the longest: what was in the way (no memory, no room) may
pass, and starting in a circle would be in everybody's way."""

Hear = Callable[[WorkerProcess, dict[str, Any] | None], None]


@dataclass(eq=False)
class Hand:
    """A part that a worker has in hand, running or parked."""

    job: Job
    part: JobPart
    worker: WorkerProcess

    @property
    def may_go_on(self) -> bool:
        """True for a part whose job is resumed, or asked for a step further on."""
        return self.job.alive and (self.job.until is None or self.part.step < self.job.until)

    def begin(self, **command: Any) -> None:
        """Let the worker run the part, up to the step at which its job pauses."""
        self.part.state, self.part.begun = "running", time.monotonic()
        self.worker.tell(part=self.part.number, until=self.job.until, **command)


class Crew:
    """Some worker processes; one that ends is replaced, at once or after a pause (`revive`).

    Args:
        count: how many.
        start: how one is started.
        hear: called with what each of them says.
    """

    def __init__(self, count: int, start: Starter, hear: Hear) -> None:
        self.start, self.hear = start, hear
        self.hands: dict[int, Hand] = {}
        """By the number of the part."""
        self.count = count
        self.workers = [WorkerProcess(hear, start) for _ in range(count)]
        self.next_start: float | None = None
        """When a worker is started again (of `time.monotonic`); None when there is no pause."""
        self._failed_starts = self._pauses = 0

    def __len__(self) -> int:
        return len(self.workers)

    def welcome(self, worker: WorkerProcess) -> None:
        """A worker has loaded what it needs: what was in the way of others is gone."""
        worker.ready, self.next_start = True, None
        self._failed_starts = self._pauses = 0
        self._fill()

    def idle(self) -> list[WorkerProcess]:
        """Ready workers that run nothing."""
        busy = {hand.worker for hand in self.hands.values() if hand.part.state == "running"}
        return [worker for worker in self.workers if worker.ready and worker not in busy]

    def parked_on(self, worker: WorkerProcess) -> list[Hand]:
        """What a worker holds for later, first come first."""
        return [hand for hand in self.hands.values() if hand.worker is worker and hand.part.state == "parked"]

    def give(self, worker: WorkerProcess, job: Job, part: JobPart) -> None:
        """A new part for an idle worker."""
        self.hands[part.number] = hand = Hand(job, part, worker)
        hand.begin(do="run", kind=job.kind, parameters=part.parameters, folder=str(job.folder))

    def lose(self, worker: WorkerProcess) -> list[Hand]:
        """A worker is gone: what it had in hand, which is lost. Another one is started, unless there is a pause."""
        self.workers.remove(worker)
        lost = [hand for hand in self.hands.values() if hand.worker is worker]
        for hand in lost:
            del self.hands[hand.part.number]
            hand.part.state = "ended"
        self._failed_starts += not worker.ready
        if self._failed_starts < STARTS:
            self._fill()
        elif self.next_start is None:
            self.next_start = time.monotonic() + min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2.0**self._pauses)
            self._pauses += 1
        return lost

    def revive(self, now: float) -> None:
        """After a pause one worker is tried; the others follow when it is ready."""
        if self.next_start is not None and now >= self.next_start:
            self.next_start = None
            self.workers.append(WorkerProcess(self.hear, self.start))

    def _fill(self) -> None:
        while len(self.workers) < self.count:
            self.workers.append(WorkerProcess(self.hear, self.start))

"""The worker processes of this machine: those that end are replaced, at once or after a pause."""

from __future__ import annotations

import time
from typing import Any

from peftcalc import units
from peftcalc.jobs.engines.engine import Engine, Hand, Hear
from peftcalc.jobs.worker_process import Starter, WorkerProcess

STARTS = 3
"""Workers that end before they are ready, in a row, until there is a pause before the next."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 1_800.0
"""The first pause, each being twice the one before it, and the longest: what was in the way (no memory, no room) may
pass, and starting in a circle would be in everybody's way."""


class Crew(Engine):
    """Some worker processes; one that ends is replaced, at once or after a pause (`revive`).

    Args:
        count: how many.
        start: how one is started.
        hear: called with what each of them says.
    """

    loss = "When this process ends, its workers end too, and the runs in hand are lost"

    def __init__(self, count: int, start: Starter, hear: Hear) -> None:
        super().__init__(hear)
        self.start, self.count = start, count
        self.workers = [WorkerProcess(hear, start) for _ in range(count)]
        self.next_start: float | None = None
        """When a worker is started again (of `time.monotonic`); None when there is no pause."""
        self._failed_starts = self._pauses = 0

    @property
    def about(self) -> str:
        return "Worker processes on this machine"

    def welcome(self, worker: WorkerProcess, hello: dict[str, Any]) -> None:
        """A worker has loaded what it needs: what was in the way of others is gone."""
        super().welcome(worker, hello)
        worker.process_id = hello.get("process", 0)
        if worker.ready:
            self.next_start = None
            self._failed_starts = self._pauses = 0
            self._fill()

    def lose(self, worker: WorkerProcess) -> list[Hand]:
        """A worker is gone: what it had in hand, which is lost. Another one is started, unless there is a pause."""
        lost = super().lose(worker)
        self._failed_starts += not worker.ready
        if self._failed_starts < STARTS:
            self._fill()
        elif self.next_start is None:
            self.next_start = time.monotonic() + min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2.0**self._pauses)
            self._pauses += 1
        return lost

    def trouble(self, work: str) -> str:
        if self.missing or self.workers or self.next_start is None:
            return self.missing
        left = max(1.0, self.next_start - time.monotonic())
        return (
            f"{work.capitalize()} is not possible here now: the processes that do it do not start. "
            f"The next try is in {units.seconds(left)}."
        )

    def revive(self, now: float) -> None:
        """After a pause one worker is tried; the others follow when it is ready."""
        if self.next_start is not None and now >= self.next_start:
            self.next_start = None
            self.workers.append(WorkerProcess(self.hear, self.start))

    def close(self) -> None:
        for worker in list(self.workers):
            worker.close()

    def _fill(self) -> None:
        while len(self.workers) < self.count:
            self.workers.append(WorkerProcess(self.hear, self.start))

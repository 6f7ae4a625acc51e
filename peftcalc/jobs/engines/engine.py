"""What a queue asks of workers, wherever they are; its lock is held whenever it asks.

A worker is told `{"do": "run", …}` and answers `{"part": 7, "step": 3, …}`, as `peftcalc.jobs.worker` has it: the crew
passes these on as lines between processes, a cluster as tasks, variables and events of its scheduler.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from peftcalc.jobs.job import Job, JobPart
from peftcalc.jobs.worker_process import Starter


class Worker(Protocol):
    """One worker, which runs one part at a time and holds those that are parked."""

    ready: bool

    def tell(self, **command: Any) -> None:
        """Send one command; to a worker that is just ending, nothing (its end is heard soon)."""

    def kill(self) -> None:
        """End it at once; its end is heard as any other."""

    @property
    def farewell(self) -> str:
        """How it ended, in words."""
        ...

    @property
    def process_id(self) -> int:
        """Of its process, on its machine."""
        ...


Hear = Callable[[Any, dict[str, Any] | None], None]
"""Called with a worker and what it says, None when it is gone; `{"hello": …}` when it is ready."""


@dataclass(eq=False)
class Hand:
    """A part that a worker has in hand, running or parked."""

    job: Job
    part: JobPart
    worker: Worker

    @property
    def may_go_on(self) -> bool:
        """True for a part whose job is resumed, or asked for a step further on."""
        return self.job.alive and (self.job.until is None or self.part.step < self.job.until)

    def begin(self, **command: Any) -> None:
        """Let the worker run the part, up to the step at which its job pauses."""
        self.part.state, self.part.begun = "running", time.monotonic()
        self.worker.tell(part=self.part.number, until=self.job.until, **command)


class Engine:
    """Workers, and what each has in hand.

    Args:
        hear: called with what each of them says, from a thread of the engine.

    Attributes:
        workers: those that are there, ready or starting.
        hands: what they have in hand, by the number of the part.
        devices: names and titles of what can be trained on.
        missing: what the workers lack, in a sentence; empty otherwise.
    """

    loss = ""
    """What is lost when it goes away, in a sentence."""

    def __init__(self, hear: Hear) -> None:
        self.hear = hear
        self.workers: list[Any] = []
        self.hands: dict[int, Hand] = {}
        self.devices: tuple[tuple[str, str], ...] = ()
        self.missing = ""

    @property
    def about(self) -> str:
        """What it is and where, in a few words."""
        return "workers"

    def __len__(self) -> int:
        return len(self.workers)

    def welcome(self, worker: Any, hello: dict[str, Any]) -> None:
        """A worker has loaded what it needs, or says what it lacks."""
        self.devices = tuple((name, title) for name, title in hello.get("devices", ()))
        self.missing = hello.get("problem", "")
        worker.ready = not self.missing

    def idle(self) -> list[Worker]:
        """Ready workers that run nothing."""
        busy = {hand.worker for hand in self.hands.values() if hand.part.state == "running"}
        return [worker for worker in self.workers if worker.ready and worker not in busy]

    def parked_on(self, worker: Worker) -> list[Hand]:
        """What a worker holds for later, first come first."""
        return [hand for hand in self.hands.values() if hand.worker is worker and hand.part.state == "parked"]

    def give(self, worker: Worker, job: Job, part: JobPart) -> None:
        """A part for an idle worker: a new one, or one whose worker was lost, which tells what it has not told yet."""
        self.hands[part.number] = hand = Hand(job, part, worker)
        hand.begin(do="run", kind=job.kind, parameters=part.parameters, folder=str(job.folder), skip=part.told)

    def lose(self, worker: Any) -> list[Hand]:
        """A worker is gone: what it had in hand, which is lost."""
        self.workers = [other for other in self.workers if other is not worker]
        lost = [hand for hand in self.hands.values() if hand.worker is worker]
        for hand in lost:
            del self.hands[hand.part.number]
            hand.part.state = "ended"
        return lost

    def trouble(self, work: str) -> str:
        """Why nothing can be done here now, in a sentence; empty otherwise.

        Args:
            work: what the workers do, for the sentence.
        """
        return self.missing

    @property
    def refusals(self) -> Sequence[str]:
        """Workers that were not taken, a sentence each."""
        return ()

    @property
    def coming(self) -> int:
        """Workers that are known of and have not said hello yet."""
        return sum(not worker.ready for worker in self.workers)

    def revive(self, now: float) -> None:
        """What time brings: another try after a pause; `now` is of `time.monotonic`."""

    def close(self) -> None:
        """End the workers that are the engine's own; the queue's lock is not held."""


Start = Starter | Callable[[Hear], Engine]
"""How a worker process of this machine is started, or what makes another engine that calls what it is given."""

"""One queue of jobs for all visitors, worked off by an engine: fair, bounded, and never in a page's way.

Processes and not threads: training in the app's own process would hold the interpreter's lock, and thirty polling
visitors would wait for it; and a worker that dies takes one job with it and not the app.

A job has parts that run side by side on several workers. Visitors take turns, a job at a time. A job ends when it is
stopped, at its time limit, or when nobody has looked at it for two minutes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from peftcalc.jobs.engines.crew import Crew
from peftcalc.jobs.engines.engine import Engine, Hand, Start, Worker
from peftcalc.jobs.job import Job, JobPart, State
from peftcalc.jobs.limits import Limits
from peftcalc.jobs.machine import worker_count
from peftcalc.jobs.waiting_line import Standing, WaitingLine


class JobQueue:
    """All jobs of all visitors.

    Args:
        engine: how a worker process of this machine is started (`forked.forked`, `worker_process.worker_command`), or
            what makes another engine that calls what it is given.
        workers: how many worker processes; None for as many as the machine bears.
        limits: what one visitor may take.
    """

    def __init__(self, engine: Start, workers: int | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = threading.RLock()
        self._line = WaitingLine()
        self._alive: list[Job] = []
        self._closing = threading.Event()
        with self._lock:  # a worker that ends at once is heard when it is in the list
            self.engine: Engine = (
                engine(self._hear) if callable(engine) else Crew(workers or worker_count(), engine, self._hear)
            )
        threading.Thread(target=self._keep_house, daemon=True).start()

    # What a visitor asks for

    def submit(self, visitor: str, kind: str, parts: Sequence[Mapping[str, Any]], until: int | None = None) -> Job:
        """Put a job into the line.

        Args:
            visitor: a token of the visitor's session that nobody can guess.
            kind: a name in the `KINDS` of a module that the workers were started with.
            parts: parameters of each part, as JSON can hold them.
            until: a step at which it pauses, to be led step by step.

        Raises:
            ValueError: the line is full, nothing can be done here now, or there is no room for the job's files.
        """
        with self._lock:
            if self.problem:
                raise ValueError(self.problem)
            mine = [job for job in self._alive if job.visitor == visitor]
            if len(mine) >= self.limits.jobs_of_visitor:
                self.stop(mine[0], "You started another run.")
            if len(self._line) >= self.limits.waiting:
                raise ValueError(f"The line is full: {len(self._line)} runs wait. Please try again in a few minutes.")
            job = Job(visitor, kind, parts, until)
            self._alive.append(job)
            self._line.append(job)
            self._dispatch()
            return job

    def touch(self, job: Job) -> None:
        """The visitor is looking: a job that nobody looks at ends."""
        job.seen = time.monotonic()

    def standing(self, job: Job) -> Standing:
        """How many jobs come before a waiting one, and for about how long."""
        with self._lock:
            in_hand = [(hand.job, hand.part) for hand in self.engine.hands.values()]
            return self._line.standing(job, in_hand, self.workers)

    def pause(self, job: Job) -> None:
        """Pause all parts at the same step: the last that any of them has reached."""
        with self._lock:
            if job.state == "running":
                job.state, job.paused_since = "paused", time.monotonic()
                self._run_until(job, max(0, *(part.step for part in job.parts)))

    def step(self, job: Job) -> None:
        """One step of a paused job."""
        with self._lock:
            if job.state == "paused" and job.until is not None:
                job.paused_since = time.monotonic()
                self._run_until(job, job.until + 1)

    def resume(self, job: Job) -> None:
        """Go on with a paused job."""
        with self._lock:
            if job.state == "paused":
                job.state = "running"
                self._run_until(job, None)

    def change(self, job: Job, **parameters: Any) -> None:
        """Other values of parameters that its kind reads again and again."""
        with self._lock:
            for part in job.parts:
                part.parameters.update(parameters)
                hand = self.engine.hands.get(part.number)
                if hand is not None:
                    hand.worker.tell(do="change", part=part.number, parameters=parameters)

    def stop(self, job: Job, message: str = "", state: State = "stopped") -> None:
        """End a job; what it has told stays."""
        with self._lock:
            if not job.alive:
                return
            job.state, job.message = state, message
            self._alive.remove(job)
            self._line.discard(job)
            for part in job.parts:
                hand = self.engine.hands.get(part.number)
                if hand is None:
                    part.state = "ended"
                else:
                    part.stop_sent = time.monotonic()
                    hand.worker.tell(do="stop", part=part.number)

    def close(self) -> None:
        """End all jobs and workers."""
        self._closing.set()
        with self._lock:
            for job in list(self._alive):
                self.stop(job, "The server is closing.")
        self.engine.close()

    @property
    def problem(self) -> str:
        """Why nothing can be done here now (no torch; workers that do not start), in a sentence; empty otherwise."""
        with self._lock:
            return self.engine.trouble(self.limits.work)

    @property
    def ready(self) -> bool:
        """True when a worker has loaded what it needs."""
        return any(worker.ready for worker in self.engine.workers)

    @property
    def devices(self) -> tuple[tuple[str, str], ...]:
        """Names and titles of what can be trained on, once a worker has told: `(("cpu", "CPU"),)`."""
        return self.engine.devices

    @property
    def workers(self) -> int:
        """How many parts can run at the same time; at least one, which may be yet to come."""
        return max(1, len(self.engine))

    @property
    def process_ids(self) -> list[int]:
        """Of the worker processes that are ready."""
        return [worker.process_id for worker in self.engine.workers if worker.ready]

    # Dealing out work; the lock is held

    def _run_until(self, job: Job, until: int | None) -> None:
        job.until = until
        for part in job.parts:
            hand = self.engine.hands.get(part.number)
            if hand is not None and part.state == "running":
                hand.worker.tell(do="pause", part=part.number, until=until)
        self._dispatch()

    def _dispatch(self) -> None:
        """Give every idle worker something to do: a parked part that may go on, or the next of the line."""
        for worker in self.engine.idle():
            held = next((hand for hand in self.engine.parked_on(worker) if hand.may_go_on), None)
            if held is not None:
                held.begin(do="go")
                continue
            found = self._line.take()
            if found is None:
                continue
            job, part = found
            job.begin()
            self.engine.give(worker, job, part)

    # What workers say

    def _hear(self, worker: Any, message: dict[str, Any] | None) -> None:
        with self._lock:
            if message is None:
                self._bury(worker)
            elif "hello" in message:
                self._welcome(worker, message["hello"])
            else:
                hand = self.engine.hands.get(message["part"])
                if hand is not None:
                    self._note(hand, message)
            self._dispatch()

    def _welcome(self, worker: Worker, hello: dict[str, Any]) -> None:
        self.engine.welcome(worker, hello)
        if self.engine.missing:
            self._give_up()

    def _note(self, hand: Hand, message: dict[str, Any]) -> None:
        job, part = hand.job, hand.part
        if "ended" in message:
            del self.engine.hands[part.number]
            part.state, part.earlier = "ended", part.seconds(time.monotonic())
            self._end_of_part(job, part, message["ended"], message["message"])
        elif "parked" in message:
            part.earlier, part.state, part.step = part.seconds(time.monotonic()), "parked", message["parked"]
            if job.until is not None:  # a part that had gone further than was known: the others follow it
                job.until = max(job.until, part.step)
            self._make_room(hand.worker)
        else:
            part.reached(message["step"], message["progress"], message["told"])
            job.records += message["records"][: self.limits.records - len(job.records)]

    def _end_of_part(self, job: Job, part: JobPart, how: str, sentence: str) -> None:
        if how != "done":  # where it was stopped from here, the job has ended
            self.stop(job, sentence or "The worker of this run gave it up.", "failed")
        else:
            self._line.learn(job.kind, part.earlier)
            if job.alive and all(other.state == "ended" for other in job.parts):
                job.state = "done"
                self._alive.remove(job)

    def _make_room(self, worker: Worker) -> None:
        """Too many paused parts on one worker: the job that was paused first makes room."""
        held = [hand.job for hand in self.engine.parked_on(worker) if hand.job.alive]
        if len(held) > self.limits.parked:
            oldest = min(held, key=lambda job: job.paused_since)
            self.stop(oldest, "It was paused while others needed its place.")

    def _bury(self, worker: Any) -> None:
        """A worker is gone, None for none: what it had is run again, or its jobs end with a sentence."""
        if self._closing.is_set():
            return
        lost, problem = self.engine.lose(worker), self.problem
        for hand in lost:
            job, part = hand.job, hand.part
            sentence = f"The process of this run ended unexpectedly ({worker.farewell})."
            if job.alive and part.again < self.limits.again and not problem:
                part.run_again()
                job.notes.append(f"{sentence} It is run again from its beginning.")
                self._line.again(job)
            else:
                self.stop(job, problem or sentence, "failed")
        if problem:
            self._give_up()

    def _give_up(self) -> None:
        sentence = self.problem
        for job in list(self._alive):
            self.stop(job, sentence, "failed")

    # What time brings

    def _keep_house(self) -> None:
        while not self._closing.wait(min(1.0, self.limits.patience)):
            self.keep_house(time.monotonic())

    def keep_house(self, now: float) -> None:
        """End what is over its limits at the time `now` (of `time.monotonic`)."""
        with self._lock:
            self.engine.revive(now)
            for job in list(self._alive):
                sentence = self.limits.reached(job, now)
                if sentence:
                    self.stop(job, sentence)
            for hand in list(self.engine.hands.values()):
                if hand.part.stop_sent is not None and now - hand.part.stop_sent > self.limits.patience:
                    hand.worker.kill()

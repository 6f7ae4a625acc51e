"""A job as its visitor sees it: its records so far, how far it is, and how it ended."""

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["waiting", "running", "paused", "done", "stopped", "failed"]
ALIVE = ("waiting", "running", "paused")

MAX_RECORDS = 20_000
"""A job that tells more has its further records dropped, so that no visitor can fill the server's memory."""

_numbers = itertools.count(1)


@dataclass(eq=False)
class JobPart:
    """What one worker does of a job."""

    parameters: dict[str, Any]
    number: int = field(default_factory=lambda: next(_numbers))
    state: Literal["waiting", "running", "parked", "ended"] = "waiting"
    step: int = -1
    progress: float = 0.0
    begun: float = 0.0
    """When it began its present stretch of running."""
    earlier: float = 0.0
    """Seconds of running before that."""
    first: tuple[float, float] | None = None
    """Its running time and progress when its first step was told: what comes before is loading, not pace."""
    stop_sent: float | None = None
    told: int = 0
    """Ticks of its kind whose records are here: what is run again leaves them out, so that nothing counts twice."""
    again: int = 0
    """How often it was run again."""

    def reached(self, step: int, progress: float, told: int) -> None:
        """It has told of a step, all its ticks so far being so many."""
        self.step, self.progress, self.told = step, progress, told
        if self.first is None or progress == 0:
            self.first = (self.seconds(time.monotonic()), progress)

    def run_again(self) -> None:
        """It waits for another worker, its clock at zero; where it was is known."""
        self.state, self.begun, self.earlier, self.first = "waiting", 0.0, 0.0, None
        self.again += 1

    def seconds_left(self, now: float) -> float:
        """Time left at the pace since the first step; infinite before there is a pace."""
        if self.state == "ended":
            return 0.0
        if self.first is None:
            return math.inf
        seconds, progress = self.seconds(now) - self.first[0], self.progress - self.first[1]
        return seconds * (1 - self.progress) / progress if progress > 0 else math.inf

    def seconds(self, now: float) -> float:
        """How long it has been running, pauses left out."""
        return self.earlier + (now - self.begun if self.state == "running" else 0.0)


class Job:
    """Handed out by `JobQueue.submit`; whoever holds it may read it, and only the queue changes it.

    There is no way to a job but the object itself, which lives in its visitor's session: no number in a link leads to
    it, and when the session is gone, so are its records and files.

    Attributes:
        kind: the kind of job, a name that the workers know.
        parts: what is done side by side on several workers.
        records: what the parts have told, in the order in which it arrived.
        state: "waiting", "running", "paused", "done", "stopped" or "failed".
        message: why it was stopped or has failed, in a sentence; empty otherwise.
        notes: what happened to it under way, a sentence each: a worker that was lost.
        folder: where its files are (adapters as zip); removed with the job.

    Raises:
        ValueError: no folder can be made for its files.
    """

    def __init__(self, visitor: str, kind: str, parts: Sequence[Mapping[str, Any]], until: int | None = None) -> None:
        self.visitor, self.kind = visitor, kind
        self.parts = [JobPart(dict(parameters)) for parameters in parts]
        self.records: list[dict[str, Any]] = []
        self.state: State = "waiting"
        self.message = ""
        self.notes: list[str] = []
        self.seen = time.monotonic()
        """When its visitor last looked."""
        self.until = until
        """The step to pause at."""
        self.paused_since = 0.0
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="peftcalc-"))
        except OSError as error:
            raise ValueError(f"There is no room for the files of a run on this server: {error.strerror}.") from error
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def begin(self) -> None:
        """A worker has taken a part; one that waited is running now, or paused where it is led step by step."""
        if self.state == "waiting":
            self.state = "running" if self.until is None else "paused"
            self.paused_since = time.monotonic()

    @property
    def alive(self) -> bool:
        """True until it has ended."""
        return self.state in ALIVE

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return sum(1.0 if part.state == "ended" else part.progress for part in self.parts) / len(self.parts)

    @property
    def step(self) -> int:
        """The step that all parts have reached; −1 before the first."""
        return min(part.step for part in self.parts)

    @property
    def seconds_left(self) -> float:
        """Time left at the pace so far, of the slowest part; infinite before there is a pace."""
        now = time.monotonic()
        return max(part.seconds_left(now) for part in self.parts)

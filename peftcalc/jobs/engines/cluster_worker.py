"""This machine's end of a Dask worker: what it has in hand as tasks, and what is asked of each."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from peftcalc.jobs.engines.cluster_task import NOTHING

Send = Callable[[str, "ClusterWorker", "Task | None"], None]


@dataclass(eq=False)
class Task:
    """A part on its way through a Dask scheduler.

    Attributes:
        command: the message that begins it.
        key: its name there.
        future: Dask's own, once it is submitted.
        heard: whether it has told anything: before that it cannot be asked.
        state: the whole that is asked of it.
        sent: the number of the state that it has heard, and whoever sends it holds `sending`.
        ended: what it said last, kept back until its files are here.
        doubted: whether Dask has been through with it before its end was heard.
    """

    worker: ClusterWorker
    command: dict[str, Any]
    key: str
    future: Any = None
    heard: bool = False
    ended: dict[str, Any] | None = None
    doubted: bool = False
    state: dict[str, Any] = field(default_factory=NOTHING.copy)
    sent: int = 0
    sending: Any = field(default_factory=threading.Lock)

    @property
    def part(self) -> int:
        return self.command["part"]

    def ask(self, do: str, until: int | None = None, parameters: dict[str, Any] | None = None, **_: Any) -> None:
        """Something more is asked of it; the state is a new one, for the old may be on its way."""
        counted = {"go": "goes", "pause": "pauses"}.get(do)
        self.state = {
            **self.state,
            "number": self.state["number"] + 1,
            "parameters": {**self.state["parameters"], **(parameters or {})},
            **({counted: self.state[counted] + 1, "until": until} if counted else {}),
            **({"stop": True} if do == "stop" else {}),
        }


class ClusterWorker:
    """One Dask worker, which runs one part at a time and holds those that are parked.

    Args:
        address: where it is.
        place: its folder there, which another process at the same address does not share.
        process_id: of its process, on its machine.
        send: called with what is to be done ("begin", "ask", "take back", "restart"), this worker, and the task; None
            when it is about the worker.
    """

    def __init__(self, address: str, place: str, process_id: int, send: Send) -> None:
        self.ready = False
        self.address, self.place, self.process_id = address, place, process_id
        self.tasks: dict[str, Task] = {}
        """By key."""
        self._send = send

    def tell(self, **command: Any) -> None:
        """Send one command; of a part that is not here any more, nothing."""
        if command["do"] == "run":
            task = Task(self, command, f"peftcalc-part-{uuid.uuid4().hex}")
            self.tasks[task.key] = task
            self._send("begin", self, task)
            return
        for task in [one for one in list(self.tasks.values()) if one.part == command["part"]]:
            task.ask(**command)
            if command["do"] == "stop" and not task.heard:  # it may wait behind somebody else's work
                del self.tasks[task.key]
                self._send("take back", self, task)
            elif task.heard:  # else it is sent when it can hear
                self._send("ask", self, task)

    def kill(self) -> None:
        """End its process; what watches over it starts another."""
        self._send("restart", self, None)

    @property
    def farewell(self) -> str:
        """How it ended, as far as is known here."""
        return f"the worker {self.address} of the cluster is gone"

"""What goes out to a Dask scheduler, so that nobody waits for the network: from one thread and in order, but what a
worker must answer, for which the others do not wait.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from asyncio import CancelledError
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from peftcalc.jobs.engines import cluster_task
from peftcalc.jobs.engines.cluster_worker import Task

SECONDS = 10.0
"""Until the scheduler has taken something."""
FILES_SECONDS = 60.0


class Post:
    """Begins tasks, asks things of them, takes them back, and fetches their files.

    Args:
        client: returns Dask's client; None while there is none.
        rooms: modules that offer kinds of work.
        topic: where tasks tell.
        over: called with a task and its future when Dask is through with it, from a thread of Dask's.
    """

    def __init__(
        self, client: Callable[[], Any], rooms: tuple[str, ...], topic: str, over: Callable[[Task, Any], None]
    ) -> None:
        self._client, self._rooms, self._topic, self._over = client, rooms, topic, over
        self._box: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what is there, and end."""
        self._box.put(None)
        self._thread.join(SECONDS)

    def begin(self, task: Task) -> None:
        """A task sets out."""
        self._box.put(partial(self._begin, task))

    def ask(self, task: Task) -> None:
        """Its state as it is when it is sent: what was asked in between is in it."""
        self._beside(partial(self._ask, task))

    def take_back(self, task: Task) -> None:
        """It is not wanted any more."""

        def act() -> None:
            if task.future is not None:
                task.future.cancel()
            task.future = None

        self._box.put(act)

    def tidy(self, task: Task) -> None:
        """It is over: what stands at the scheduler about it goes."""
        self._box.put(partial(setattr, task, "future", None))

    def fetch(self, task: Task, then: Callable[[], None]) -> None:
        """Its files, into its job's folder; `then` is called when they are there, or cannot be had."""

        future = task.future

        def act() -> None:
            try:
                files = future.result(timeout=FILES_SECONDS)
                with contextlib.suppress(OSError):  # the job is gone, and its folder with it
                    for name, content in files.items():
                        Path(task.command["folder"], Path(name).name).write_bytes(content)
            finally:
                then()

        self._beside(act)

    def restart(self, address: str) -> None:
        """A worker's process is ended; what watches over it starts another."""
        self._beside(lambda: self._client().restart_workers([address], timeout=SECONDS, raise_for_error=False))

    def _send(self) -> None:
        while (act := self._box.get()) is not None:
            self._try(act)

    def _beside(self, act: Callable[[], None]) -> None:
        threading.Thread(target=self._try, args=(act,), daemon=True).start()

    def _try(self, act: Callable[[], None]) -> None:
        if self._client() is not None:
            with contextlib.suppress(Exception, CancelledError):  # worker or scheduler are gone: noticed elsewhere
                act()

    def _begin(self, task: Task) -> None:
        order = {
            "command": {**task.command, "folder": ""},
            "rooms": self._rooms,
            "key": task.key,
            "topic": self._topic,
        }
        place = {"workers": [task.worker.address], "allow_other_workers": False}
        task.future = self._client().submit(cluster_task.run_part, order, key=task.key, retries=0, pure=False, **place)
        task.future.add_done_callback(partial(self._over, task))

    def _ask(self, task: Task) -> None:
        with task.sending:
            state = task.state
            if task.sent < state["number"]:
                self._client().run(cluster_task.ask, task.key, state, workers=[task.worker.address])
                task.sent = state["number"]

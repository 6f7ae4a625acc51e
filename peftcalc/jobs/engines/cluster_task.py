"""What a Dask worker does for a queue: one part, as a task that tells by events and reads what is asked of it.

The part is worked on by the same `Worker` as in a process of the crew, so that its records, sentences and pauses are
the same. What is asked of it stands in a Dask variable, as a whole, so that no message can be lost or come twice:

    {"number": 5, "stop": false, "until": 12, "goes": 2, "pauses": 1, "parameters": {…}}

A part that is parked secedes: it leaves the worker's thread to others, and takes it again when it goes on.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.jobs.engines.version import this_version
from peftcalc.jobs.worker import Kind, Worker, line_of, prepare, settle

EVERY = 0.1
"""Seconds between two looks at what is asked of a part."""
PATIENCE = 30.0
"""Seconds without an answer of the scheduler until a part is given up."""
MAX_FILE_BYTES = 2**30
"""Of what a part has written, together."""

_preparing, _warming, _begun = threading.Lock(), threading.Lock(), threading.Event()


async def introduce(rooms: tuple[str, ...], version: str) -> dict[str, Any]:
    """Who this worker is; one of the asked version has loaded what it needs by then, once for its process.

    Args:
        rooms: modules that offer kinds of work.
        version: of the queue's peftcalc.
    """
    own = {"version": this_version(), "process": os.getpid()}
    return own if own["version"] != version else {**own, "hello": await asyncio.to_thread(_prepared, rooms)}


def run_part(order: dict[str, Any]) -> dict[str, bytes]:
    """One part from its beginning to its end, however it ends.

    Args:
        order: `command`, the message that begins it; `rooms`; `key`, the name of this task; `topic`, where its events
            go; `variable`, where it reads what is asked of it.

    Returns:
        The files that it has written, by name.
    """
    from distributed import Variable, get_client, get_worker, rejoin, secede

    _begun.set()
    with _warming:  # it ends with its present step
        here, key = get_worker(), order["key"]
    asked = Asked(Variable(order["variable"], client=get_client()).get, lambda: _wanted(here, key))
    with tempfile.TemporaryDirectory(prefix="peftcalc-") as folder:
        files: dict[str, bytes] = {}

        def tell(message: dict[str, Any]) -> None:
            if "ended" in message:
                files.update(_files(Path(folder)))
            here.log_event(
                order["topic"], {"key": key, "process": os.getpid(), "line": line_of(message), "files": len(files)}
            )

        worker = Worker(_kinds(order["rooms"]), tell)
        worker.obey({**order["command"], "folder": folder})
        asked.listen()
        try:
            work(worker, order["command"]["part"], asked, secede, rejoin)
        finally:
            asked.close()
    return files


def work(worker: Worker, part: int, asked: Asked, leave: Callable[[], None], take: Callable[[], None]) -> None:
    """Steps until the part is at its end; while it is parked the thread is left to others.

    Args:
        leave, take: give this thread back to its pool, and wait for one.
    """
    left = False
    while worker.parts:
        for command in asked.news(part):
            worker.obey(command)
        if worker.active is not None:
            if left:
                take()
                left = False
            worker.advance()
        elif worker.parts:
            if not left:
                leave()
                left = True
            asked.wait()


class Asked:
    """What is asked of a part, looked up again and again beside it.

    Args:
        look: returns the variable's value.
        wanted: False once the scheduler has forgotten the task: its queue is gone.
    """

    def __init__(self, look: Callable[..., Any], wanted: Callable[[], bool]) -> None:
        self._look, self._wanted = look, wanted
        self._new, self._end = threading.Event(), threading.Event()
        self._state: dict[str, Any] = {}
        self._done: dict[str, Any] = {"number": 0, "goes": 0, "pauses": 0, "parameters": {}}

    def listen(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._end.set()

    def wait(self) -> None:
        """Until there is something new."""
        self._new.wait()

    def news(self, part: int) -> Iterator[dict[str, Any]]:
        """Commands that have not been given yet, as `Worker.obey` takes them."""
        if not self._new.is_set():
            return
        self._new.clear()
        state, done = self._state, self._done
        self._done = state
        if state.get("stop"):
            yield {"do": "stop", "part": part}
            return
        if state["parameters"] != done["parameters"]:
            yield {"do": "change", "part": part, "parameters": state["parameters"]}
        if state["goes"] != done["goes"]:
            yield {"do": "go", "part": part, "until": state["until"]}
        if state["pauses"] != done["pauses"]:
            yield {"do": "pause", "part": part, "until": state["until"]}

    def _listen(self) -> None:
        number = 0
        while not self._end.wait(EVERY):
            try:
                state = self._look(timeout=PATIENCE) if self._wanted() else {"number": math.inf, "stop": True}
            except Exception:  # the scheduler is gone, and soon this worker with it
                state = {"number": math.inf, "stop": True}
            if state["number"] > number:
                number, self._state = state["number"], state
                self._new.set()
            if state.get("stop"):
                return


def _wanted(here: Any, key: str) -> bool:
    """Whether the scheduler still asks this worker for the task."""
    task = here.state.tasks.get(key)
    return task is not None and task.state in ("executing", "long-running")


@cache
def _kinds(rooms: tuple[str, ...]) -> dict[str, Kind]:
    return {name: kind for room in rooms for name, kind in importlib.import_module(room).KINDS.items()}


def _prepared(rooms: tuple[str, ...]) -> dict[str, Any]:
    with _preparing:
        return _loaded(rooms)


@cache
def _loaded(rooms: tuple[str, ...]) -> dict[str, Any]:
    """What a process of the crew does before it says hello; what it does after that begins."""
    modules = [importlib.import_module(room) for room in rooms]
    hello = prepare(modules)
    threading.Thread(target=_warm, args=(modules,), daemon=True).start()
    return hello


def _warm(modules: list[Any]) -> None:
    with _warming:
        settle((step for room in modules if hasattr(room, "warm_up") for step in room.warm_up()), _begun.is_set)


def _files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder; nothing where that is too much to send."""
    there = [path for path in sorted(folder.iterdir()) if path.is_file()]
    if sum(path.stat().st_size for path in there) > MAX_FILE_BYTES:
        return {}
    return {path.name: path.read_bytes() for path in there}

"""What a Dask worker does for a queue: one part, as a task that tells by events and hears what is asked of it.

The part is worked on by the same `Worker` as in a process of the crew, so that its records, sentences and pauses are
the same. What is asked of it comes as a whole each time, so that no message can be lost, come twice or be overtaken:

    {"number": 5, "stop": false, "until": 12, "goes": 2, "pauses": 1, "parameters": {…}}

A part that is parked secedes: it leaves the worker's thread to others, and takes it again when it goes on.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.jobs.engines.version import this_version
from peftcalc.jobs.worker import Kind, Worker, let_others_first, line_of, prepare, settle

EVERY = 1.0
"""Seconds until a parked part looks again whether it is still wanted; a running one looks at each step."""
MAX_FILE_BYTES = 2**30
"""Of what a part has written, together."""
NOTHING = {"number": 0, "goes": 0, "pauses": 0, "parameters": {}}
"""Asked yet."""

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
            go.

    Returns:
        The files that it has written, by name.
    """
    from distributed import get_worker, rejoin, secede

    let_others_first()
    _begun.set()
    with _warming:  # it ends with its present step
        here, key = get_worker(), order["key"]
    with tempfile.TemporaryDirectory(prefix="peftcalc-") as folder:
        files: dict[str, bytes] = {}

        def tell(message: dict[str, Any] | None) -> None:
            if message is not None and "ended" in message:
                files.update(_files(Path(folder)))
            line = "" if message is None else line_of(message)
            here.log_event(order["topic"], {"key": key, "process": os.getpid(), "line": line, "files": len(files)})

        worker = Worker(_kinds(order["rooms"]), tell)
        worker.obey({**order["command"], "folder": folder})
        asked = _asked[key] = Asked()
        tell(None)  # from now on it can be asked
        try:
            work(worker, order["command"]["part"], asked, lambda: _wanted(here, key), secede, rejoin)
        finally:
            del _asked[key]
    return files


def ask(key: str, state: dict[str, Any]) -> None:
    """Something more is asked of a task, from the event loop of its worker; of one that is over, nothing."""
    if key in _asked:
        _asked[key].hear(state)


def work(
    worker: Worker,
    part: int,
    asked: Asked,
    wanted: Callable[[], bool],
    leave: Callable[[], None],
    take: Callable[[], None],
) -> None:
    """Steps until the part is at its end; while it is parked the thread is left to others.

    Args:
        wanted: False once the scheduler has forgotten the task: its queue is gone.
        leave, take: give this thread back to its pool, and wait for one.
    """
    left = False
    while worker.parts:
        for command in asked.news(part) if wanted() else ({"do": "stop", "part": part},):
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
            asked.wait(EVERY)


class Asked:
    """What is asked of a part, heard beside it."""

    def __init__(self) -> None:
        self._new = threading.Event()
        self._state = self._done = NOTHING

    def hear(self, state: dict[str, Any]) -> None:
        """The whole that is asked by now."""
        if state["number"] > self._state["number"]:
            self._state = state
            self._new.set()

    def wait(self, seconds: float) -> None:
        """Until there is something new, or so long."""
        self._new.wait(seconds)

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


_asked: dict[str, Asked] = {}
"""Of each task in hand."""


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

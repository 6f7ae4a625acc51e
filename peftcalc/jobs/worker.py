"""A worker process: takes parts of jobs from its standard input and tells their records on its standard output.

Both ways one JSON object a line. What a worker is told, `part` being a number:

    {"do": "run", "part": 7, "kind": "finetune", "parameters": {…}, "folder": "…", "until": null, "skip": 0}
    {"do": "go", "part": 7, "until": 12}     go on with a parked part, up to a step
    {"do": "pause", "part": 7, "until": 9}   park the running part once it has reached a step
    {"do": "change", "part": 7, "parameters": {…}}   what its kind reads again and again
    {"do": "stop", "part": 7}

and what it answers:

    {"hello": {"process": 4711, "devices": [["cpu", "CPU"]]}}                     once, when it is ready
    {"part": 7, "step": 3, "progress": 0.03, "told": 4, "records": [{…}, …]}      at most ten times a second
    {"part": 7, "parked": 9}   {"part": 7, "ended": "done" | "stopped" | "failed", "message": "…"}

`told` counts what the kind has yielded, its ticks; a part that is run again after its worker was lost skips those that
were told, for a kind yields the same again.

It knows no kind of work itself: it is started with the names of the modules that offer some, each with its `KINDS` and
perhaps a `load`, gone through before it is ready, and a `warm_up`, after that as long as nobody asks. A parked part
keeps its place in the generator that trains it and costs no time, so a paused visitor blocks nobody. The worker ends
when its standard input does: it never outlives the app.
"""

from __future__ import annotations

import errno
import gc
import importlib
import json
import math
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from peftcalc.jobs.classroom.names import ROOM_VARIABLE
from peftcalc.lazy import explained
from peftcalc.units import for_json

Tick = tuple[int, float, list[dict[str, Any]]]
"""What a kind of job yields: the step it has reached, its progress from 0 to 1, and new records."""
Kind = Callable[[dict[str, Any], Path], Iterator[Tick]]
"""A kind of job: parameters and a folder for files in, ticks out."""

EVERY = 0.1
"""Seconds between two messages about one part."""
NICE, NICE_IN_CLASS = 5, 10
"""Of a worker: on a core that both want, the app is given three times as much, and nine times where a class waits."""


@dataclass
class Part:
    """A part of a job that this worker has begun."""

    number: int
    parameters: dict[str, Any]
    ticks: Iterator[Tick]
    until: float = math.inf
    """The step at which it parks."""
    skip: int = 0
    """Ticks whose records are known."""
    made: int = 0
    """Ticks so far."""
    step: int = -1
    progress: float = 0.0
    told: float = -math.inf
    """When its last message left, and …"""
    told_step: int = -1
    """… what step it told of."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """Not told yet."""


class Worker:
    """Works on one part at a time, holds those that are parked, and listens between two steps."""

    def __init__(self, kinds: Mapping[str, Kind], tell: Callable[[dict[str, Any]], None]) -> None:
        self.kinds, self.tell = kinds, tell
        self.parts: dict[int, Part] = {}
        self.active: Part | None = None

    def obey(self, command: dict[str, Any]) -> None:
        """Do what one line asks; a part that is not here any more is left alone."""
        part = self.parts.get(command["part"])
        until = math.inf if command.get("until") is None else command["until"]
        if command["do"] == "run":
            self._begin(command, until)
        elif part is None:
            return
        elif command["do"] == "go":
            part.until, self.active = until, part
        elif command["do"] == "pause":
            part.until = until
            self._park_if_due(part)
        elif command["do"] == "change":
            part.parameters.update(command["parameters"])
        elif command["do"] == "stop":
            self._end(part, "stopped")

    def advance(self) -> None:
        """One step of the active part."""
        part = self.active
        assert part is not None
        try:
            part.step, part.progress, records = next(part.ticks)
            part.made += 1
            part.records += records if part.made > part.skip else []
        except StopIteration:
            self._end(part, "done")
        except (ValueError, TimeoutError) as error:
            self._end(part, "failed", str(error))
        except MemoryError:
            self._end(part, "failed", "it needs more memory than a run may have on this server")
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            program = f"the run ended with an error of the program ({type(error).__name__})"
            self._end(part, "failed", "there is no room for its files on this server" if full else program)
        else:
            if time.monotonic() - part.told >= EVERY:
                self._report(part)
            self._park_if_due(part)

    def _begin(self, command: dict[str, Any], until: float) -> None:
        kind, parameters = self.kinds[command["kind"]], command["parameters"]
        part = Part(command["part"], parameters, kind(parameters, Path(command["folder"])), until)
        part.skip = command.get("skip", 0)
        self.parts[part.number] = self.active = part

    def _park_if_due(self, part: Part) -> None:
        if part.step >= part.until:
            self._report(part)
            self.tell({"part": part.number, "parked": part.step})
            self.active = None if self.active is part else self.active

    def _report(self, part: Part) -> None:
        if part.records or part.step != part.told_step:
            place = {"step": part.step, "progress": part.progress, "told": part.made}
            self.tell({"part": part.number, **place, "records": part.records})
            part.records, part.told, part.told_step = [], time.monotonic(), part.step

    def _end(self, part: Part, how: str, message: str = "") -> None:
        self._report(part)
        close = getattr(part.ticks, "close", None)
        if close is not None:
            close()
        del self.parts[part.number]
        self.active = None if self.active is part else self.active
        self.tell({"part": part.number, "ended": how, "message": message})
        del part.ticks
        gc.collect()


def serve(kinds: Mapping[str, Kind], prepare: Callable[[], dict[str, Any]], warm_up: Iterable[Any] = ()) -> None:
    """Be a worker until standard input ends.

    Args:
        kinds: the kinds of work by name.
        prepare: loads what is heavy and returns what the worker says first.
        warm_up: what is gone through after that, as long as nobody asks for anything.
    """
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    answers = _own_output()
    threading.Thread(target=_listen, args=(sys.stdin, inbox), daemon=True).start()

    def tell(message: dict[str, Any]) -> None:
        answers.write(line_of(message) + "\n")
        answers.flush()

    tell({"hello": {"process": os.getpid(), **prepare()}})
    settle(warm_up, lambda: not inbox.empty())
    worker = Worker(kinds, tell)
    while True:
        if worker.active is None:
            worker.obey(inbox.get())
        else:
            while not inbox.empty():
                worker.obey(inbox.get())
            if worker.active is not None:
                worker.advance()


def settle(warm_up: Iterable[Any], asked: Callable[[], bool] = lambda: False) -> None:
    """Go through what warms a worker up as long as nothing is asked of it, and keep what is loaded by then."""
    for _ in warm_up:
        if asked():
            break
    gc.freeze()  # what is loaded by now stays: a collection after a part looks at that part's objects only


def line_of(message: dict[str, Any]) -> str:
    """The message as JSON; of one that JSON cannot hold, that its part has failed: no record ends the worker.

    >>> line_of({"part": 7, "records": [object()]})
    '{"part":7,"ended":"failed","message":"the run ended with an error of the program (TypeError)"}'
    """
    try:
        return json.dumps(for_json(message), separators=(",", ":"))
    except (TypeError, ValueError) as error:
        sentence = f"the run ended with an error of the program ({type(error).__name__})"
        return json.dumps({"part": message["part"], "ended": "failed", "message": sentence}, separators=(",", ":"))


def _own_output() -> TextIO:
    """The pipe to the app, for this module alone: whatever a library prints goes to standard error instead."""
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


def _listen(lines: TextIO, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in lines:
        inbox.put(json.loads(line))
    os._exit(0)  # the app is gone: end in the middle of a step, too


def prepare(rooms: Iterable[Any] = ()) -> dict[str, Any]:
    """Load torch, for one thread, and what the rooms need for any of their work; let the app go first."""
    let_others_first()
    try:
        with explained("Training"):
            import torch
        for room in rooms:
            getattr(room, "load", lambda: None)()
    except ImportError as missing:  # not there, or broken
        return {"devices": [], "problem": f"{missing}."}
    torch.set_num_threads(1)
    names = [["cpu", "CPU"]]
    if torch.cuda.is_available():
        names.insert(0, ["cuda", torch.cuda.get_device_name()])
    return {"devices": names}


def let_others_first() -> None:
    """The app, and on Linux, where each thread has its own niceness, whatever else this process does."""
    wanted = NICE_IN_CLASS if os.environ.get(ROOM_VARIABLE) else NICE
    os.nice(max(0, wanted - os.nice(0)))


def warm_up(rooms: Iterable[Any]) -> Iterator[Any]:
    """What the rooms go through so that their first work is not slower than the next."""
    for room in rooms:
        yield from getattr(room, "warm_up", tuple)()


def serve_rooms(names: Iterable[str], warm: bool = True) -> None:
    """Be a worker for the work that modules offer.

    Args:
        names: of the modules, each with its `KINDS`.
        warm: the first work is still to be tried.
    """
    rooms = [importlib.import_module(name) for name in names]
    kinds = {name: kind for room in rooms for name, kind in room.KINDS.items()}
    serve(kinds, partial(prepare, rooms), warm_up(rooms) if warm else ())


if __name__ == "__main__":
    serve_rooms(sys.argv[1:])

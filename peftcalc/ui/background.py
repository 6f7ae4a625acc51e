"""Work that would keep others waiting, done in a small pool of workers: limits of time and memory, and an end.

    found = background.remembered("inspect", {…}, from_json, "Reading the adapter …", {"tensors": content})

It waits, and the page says for what; at most some seconds. What is asked goes by its content, so that the same is done
once. A visitor who leaves or turns to something else ends the wait, and with it the job. Training and simulations,
which a visitor looks at while they go on, have workers of their own: `live`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from peftcalc.jobs.forked import forked
from peftcalc.jobs.job import Job
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits
from peftcalc.jobs.machine import worker_count
from peftcalc.ui import live
from peftcalc.ui.server.in_turn import aside

ROOMS_WITH_WORK = (
    "peftcalc.models.work",
    "peftcalc.quant.compared.work",
    "peftcalc.doctor.work",
    "peftcalc.plots.work",
)
"""What pages may ask these workers for: each module's `KINDS`."""
LIMITS = Limits(work="computing", running=10.0, away=5.0, patience=0.5)
"""Of one job; a worker that does not stop is ended half a second later, and another takes its place."""
WORKERS = 2
KEPT = 32
"""Answers that are remembered, by the content of what was asked."""
EVERY = 0.05
"""Seconds between two looks at a job, and for Streamlit to say that the visitor has left."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Made:
    """What a worker made: its last record, and its files by name."""

    record: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Kept:
    """The answers given last."""

    answers: OrderedDict[str, Any] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str) -> Any:
        with self.lock:
            if key in self.answers:
                self.answers.move_to_end(key)
            return self.answers.get(key)

    def put(self, key: str, answer: Any) -> None:
        with self.lock:
            self.answers[key] = answer
            while len(self.answers) > KEPT:
                self.answers.popitem(last=False)


@st.cache_resource(show_spinner=False, on_release=JobQueue.close)
def queue() -> JobQueue:
    """The pool of this server; its workers start with the first thing that is asked of it."""
    return JobQueue(forked(*ROOMS_WITH_WORK), min(WORKERS, worker_count()), LIMITS)


@st.cache_resource(show_spinner=False)
def kept() -> Kept:
    """What this server remembers."""
    return Kept()


def remembered(
    kind: str,
    parameters: dict[str, Any],
    read: Callable[[Made], Answer],
    says: str,
    files: Mapping[str, bytes] | None = None,
) -> Answer:
    """What a worker answers to this, or has answered to the same content.

    Args:
        kind: a name in the `KINDS` of one of `ROOMS_WITH_WORK`.
        parameters: as JSON can hold them.
        read: what is kept of that which the worker made.
        says: the line that the page shows meanwhile.
        files: contents by name, which the worker finds in the folder `parameters["files"]`.

    Raises:
        ValueError: the sentence of what cannot be done, takes too long or too much memory.
    """
    key = _key(kind, parameters, files or {})
    found = kept().get(key)
    if found is None:
        line = st.empty()
        try:
            made = from_worker(
                live.visitor(),
                kind,
                parameters,
                files or {},
                lambda ready: line.caption(says if ready else "The workers are starting …"),
            )
        finally:
            line.empty()
        found = read(made)
        kept().put(key, found)
    return found


def when_asked(
    kind: str, parameters: Callable[[], dict[str, Any]], file: str, files: Mapping[str, bytes] | None = None
) -> Callable[[], bytes]:
    """A file for a download button, which a worker makes when somebody presses it; its tooltip should say so.

    Args:
        kind, files: as for `remembered`.
        parameters: called when it is asked for.
        file: the name under which the worker writes it.

    Returns:
        What the button calls, in a thread of its own: no page waits for it.
    """
    visitor = live.visitor()
    return lambda: from_worker(visitor, kind, parameters(), files or {}, lambda ready: None).files[file]


def from_worker(
    visitor: str, kind: str, parameters: dict[str, Any], files: Mapping[str, bytes], look: Callable[[bool], Any]
) -> Made:
    """What a worker makes of it; `look` hears at each look whether the workers are ready.

    Where `look` writes to a page, Streamlit ends there the script that is not wanted any more. Meanwhile the scripts of
    others run.
    """
    with tempfile.TemporaryDirectory(prefix="peftcalc-") as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        job = queue().submit(visitor, kind, [{**parameters, "files": folder} if files else parameters])
        with aside():
            try:
                while job.alive:
                    queue().touch(job)
                    look(queue().ready)
                    time.sleep(EVERY)
            finally:  # done, or the visitor has left
                queue().stop(job)
        return _made(job)


def _made(job: Job) -> Made:
    if job.state != "done":
        raise ValueError(job.message)
    return Made(job.records[-1], {file.name: file.read_bytes() for file in sorted(job.folder.iterdir())})


def _key(kind: str, parameters: dict[str, Any], files: Mapping[str, bytes]) -> str:
    contents = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return json.dumps([kind, parameters, contents], sort_keys=True)

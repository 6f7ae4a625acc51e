"""Models that visitors bring, built in a small pool of workers of their own: limits of time and memory, and an end.

    shapes = building.built(config)          # waits, and shows that it does; at most some seconds

A visitor who leaves or turns to something else ends the wait, and with it the job.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from peftcalc.jobs.job import Job
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits
from peftcalc.jobs.machine import worker_count
from peftcalc.jobs.worker_process import worker_command
from peftcalc.models.shapes import ModelShapes
from peftcalc.ui import live

LIMITS = Limits(work="building models", running=10.0, away=5.0, patience=0.5)
"""Of one build; a worker that does not stop is ended half a second later, and another takes its place."""
WORKERS = 2
KEPT = 16
"""Models that are remembered, by the content of their configuration."""
EVERY = 0.1
"""Seconds between two looks at a job, and for Streamlit to say that the visitor has left."""

WHERE = (
    f"It is built without its weights in a worker process of its own, with {LIMITS.running:g} s and 1 GiB, and without "
    "the net."
)


@dataclass
class _Kept:
    """The models built last."""

    models: OrderedDict[str, ModelShapes] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str) -> ModelShapes | None:
        with self.lock:
            if key in self.models:
                self.models.move_to_end(key)
            return self.models.get(key)

    def put(self, key: str, shapes: ModelShapes) -> None:
        with self.lock:
            self.models[key] = shapes
            while len(self.models) > KEPT:
                self.models.popitem(last=False)


@st.cache_resource(show_spinner=False, on_release=JobQueue.close)
def queue() -> JobQueue:
    """The pool of this server; its workers start with the first model that is brought."""
    return JobQueue(worker_command("peftcalc.models.work"), min(WORKERS, worker_count()), LIMITS)


@st.cache_resource(show_spinner=False)
def _kept() -> _Kept:
    return _Kept()


def built(config: Mapping[str, Any], name: str | None = None) -> ModelShapes:
    """The record of a visitor's configuration.

    Args:
        config: the content of a `config.json`.
        name: how the model is shown; default what the configuration calls itself.

    Raises:
        ValueError: the sentence of a configuration that cannot be built, takes too long or too much memory.
    """
    return _remembered("build", {"config": dict(config), "name": name})


def for_task(shapes: ModelShapes, task: str, labels: int | None) -> ModelShapes:
    """The record of the class that a task loads for a visitor's model; see `peftcalc.models.tasks.task_shapes`."""
    return _remembered("task", {"shapes": shapes.to_dict(), "task": task, "labels": labels})


def _remembered(kind: str, parameters: dict[str, Any]) -> ModelShapes:
    """What the worker tells, or has told of the same content."""
    key = json.dumps([kind, parameters], sort_keys=True)
    found = _kept().get(key)
    if found is None:
        found = _from_worker(queue().submit(live.visitor(), kind, [parameters]))
        _kept().put(key, found)
    return found


def _from_worker(job: Job) -> ModelShapes:
    """What the worker tells; each look writes a line, at which Streamlit ends a script that is not wanted any more."""
    line = st.empty()
    try:
        while job.alive:
            queue().touch(job)
            started = queue().ready
            line.caption("Building the model without its weights …" if started else "The workers are starting …")
            time.sleep(EVERY)
    finally:  # done, or the visitor has left
        queue().stop(job)
        line.empty()
    if job.state != "done":
        raise ValueError(job.message)
    return ModelShapes.from_dict(job.records[-1])

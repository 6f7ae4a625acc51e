"""Keeps what visitors' races and sweeps tell, while they go on: a thread of the server, which touches no page.

A job lives in its visitor's session; the keeper holds it until it has ended, and never changes it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import streamlit as st

from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import KeptRun, KeptState, new_run
from peftcalc.jobs.job import Job

EVERY = 0.1
"""Seconds between two looks at the jobs: so late a classroom's board hears of a run's end at most."""
CHUNK = 20
"""Looks between two writes of what a job that goes on has told."""

Hear = Callable[[KeptRun, Sequence[dict[str, Any]]], None]


class Keepable(Protocol):
    """What the keeper is told of a job: a race (`lab.runs.kept_race`) or a sweep (`lab.sweeps.kept_sweep`)."""

    @property
    def kind(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def link(self) -> str: ...
    def keepable(self, records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The records, without what must not be kept."""
        ...

    def results(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What all of them come to."""
        ...


@dataclass
class Watched:
    """A job that goes on."""

    job: Job
    run: KeptRun
    what: Keepable
    hear: Hear | None
    written: int = 0
    """Records that were given to the history."""


class Keeper:
    """Watches jobs to their end.

    Args:
        history: where they are kept; None for nowhere.
    """

    def __init__(self, history: History | None) -> None:
        self.history = history
        self._watched: list[Watched] = []
        self._new: list[Watched] = []
        self._lock, self._round = threading.Lock(), threading.Lock()
        self._rounds = 0
        self._wake = threading.Event()
        self._closing = False
        threading.Thread(target=self._work, daemon=True, name="keeper").start()

    def watch(self, job: Job, what: Keepable, room: str = "", hear: Hear | None = None) -> KeptRun:
        """Keep a job from now on.

        Args:
            job: of a visitor.
            what: it runs.
            room: the classroom that it belongs to.
            hear: called once, from this thread, with the run and what it came to.
        """
        run = new_run(what.kind, "app", what.title, what.settings, what.link, room)
        if self.history is not None:
            self.history.begin(run)
        with self._lock:
            self._new.append(Watched(job, run, what, hear))
        self._wake.set()
        return run

    def look(self) -> None:
        """One round over all jobs."""
        with self._round:
            with self._lock:
                self._watched += self._new
                self._new = []
            self._rounds += 1
            for one in list(self._watched):
                ended = not one.job.alive  # before its records are read: none comes after
                if ended or self._rounds % CHUNK == 0:
                    self._write(one)
                if ended:
                    self._watched.remove(one)
                    self._end(one)

    def close(self) -> None:
        """End the thread; what is known is written."""
        self._closing = True
        self._wake.set()
        if self.history is not None:
            self.history.close()

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait(EVERY if self._watched or self._new else None)
            self._wake.clear()
            try:
                self.look()
            except Exception:  # a run that cannot be kept must not end the keeping of others
                logging.getLogger(__name__).exception("a run could not be kept")

    def _write(self, one: Watched) -> None:
        records = one.job.records[one.written :]
        if records and self.history is not None:
            self.history.add(one.run.id, one.what.keepable(records))
        one.written += len(records)

    def _end(self, one: Watched) -> None:
        results = one.what.results(one.job.records)
        if self.history is not None:
            self.history.end(one.run.id, cast(KeptState, one.job.state), results)
        if one.hear is not None:
            one.hear(one.run, results)


@st.cache_resource(show_spinner=False, on_release=Keeper.close)
def keeper() -> Keeper:
    """That of this server."""
    return Keeper(History.here())

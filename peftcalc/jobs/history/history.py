"""The history of this user's runs.

    history = History.here()                    # None for whoever has opted out
    run = new_run("race", "app", "City names: rank 4", settings)
    history.begin(run)
    history.add(run.id, records)                # again and again: what is told so far outlives a crash
    history.end(run.id, "done", results)        # the future that it returns is done when the run lies in the file

A run that goes on holds a lease, which its process renews. One whose lease has run out is shown as interrupted.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftcalc.jobs.history.database import explained, open_for_reading
from peftcalc.jobs.history.kept_run import KeptRun, KeptState, packed, unpacked
from peftcalc.jobs.history.place import history_path
from peftcalc.jobs.history.writer import Writer
from peftcalc.units import for_json

LEASE, BEAT = 20.0, 5.0
"""Seconds for which a running run is believed to be alive, and after which its process says so again."""
OLDEST_DAYS, MOST_RUNS, MOST_BYTES = 90.0, 2_000, 500_000_000
"""What is kept: no run that is older, at most so many, with at most so many bytes of records."""
PRUNE_EVERY = 3600.0

_COLUMNS = "id, kind, source, title, state, begun, ended, settings, results, versions, link, room"


class History:
    """Reading waits for nobody, and writing is asked for: see `Writer`.

    Args:
        path: the file, made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._alive: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()
        self._pruned = 0.0
        self._writer: Writer | None = None

    @staticmethod
    def here() -> History | None:
        """That of this user; None for whoever has opted out."""
        path = history_path()
        return None if path is None else History(path)

    @property
    def problem(self) -> str:
        """Why nothing is kept now, in a sentence; empty when all is well."""
        return "" if self._writer is None else self._writer.problem

    # Writing

    def ask(self, act: Any) -> Future[None]:
        """Have `act(connection)` done by the thread that writes."""
        with self._lock:
            if self._writer is None:
                self._writer = Writer(self.path, self._beat, BEAT)
        return self._writer.ask(act)

    def begin(self, run: KeptRun) -> Future[None]:
        """A run begins: it is listed as running for as long as this process lives."""
        with self._lock:
            self._alive.add(run.id)
            self._numbers[run.id] = 0
        return self.ask(lambda connection: _insert(connection, run, time.time() + LEASE))

    def add(self, run: str, records: Sequence[Mapping[str, Any]]) -> Future[None]:
        """More of what a running run tells."""
        content = packed(records)
        with self._lock:
            number = self._numbers.get(run, 0)
            self._numbers[run] = number + 1
        return self.ask(lambda connection: _add(connection, run, number, content))

    def end(self, run: str, state: KeptState, results: Iterable[Mapping[str, Any]] = ()) -> Future[None]:
        """A run has ended, with what it came to."""
        told, now = json.dumps(for_json(list(results))), time.time()
        with self._lock:
            self._alive.discard(run)
            self._numbers.pop(run, None)

        def act(connection: sqlite3.Connection) -> None:
            change = "UPDATE runs SET state = ?, ended = ?, results = ?, lease = 0 WHERE id = ?"
            connection.execute(change, (state, now, told, run))

        return self.ask(act)

    def keep(self, run: KeptRun, records: Sequence[Mapping[str, Any]] = ()) -> Future[None]:
        """A whole run at once; one of this id that is there already stays, and the future holds the error."""
        content = packed(records)

        def act(connection: sqlite3.Connection) -> None:
            _insert(connection, run, 0.0)
            if records:
                _add(connection, run.id, 0, content)

        return self.ask(act)

    def prune(self, days: float = OLDEST_DAYS, count: int = MOST_RUNS, most_bytes: int = MOST_BYTES) -> Future[None]:
        """Forget what is too old, and the oldest of what is too much."""
        return self.ask(lambda connection: _prune(connection, days, count, most_bytes))

    def close(self) -> None:
        """Write what waits, if that goes, and end."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _beat(self, connection: sqlite3.Connection) -> None:
        """Renew what lives, end what is dead, and now and then prune."""
        now = time.time()
        with self._lock:
            alive = [(now + LEASE, run) for run in self._alive]
        connection.executemany("UPDATE runs SET lease = ? WHERE id = ? AND state = 'running'", alive)
        dead = "UPDATE runs SET state = 'interrupted', ended = lease WHERE state = 'running' AND lease < ?"
        connection.execute(dead, (now,))
        if time.monotonic() - self._pruned > PRUNE_EVERY or not self._pruned:
            self._pruned = time.monotonic()
            _prune(connection, OLDEST_DAYS, MOST_RUNS, MOST_BYTES)

    # Reading

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that changes nothing.

        Raises:
            HistoryError: the file cannot be read.
        """
        connection = open_for_reading(self.path)
        try:
            yield connection
        except sqlite3.Error as error:
            raise explained(error, self.path) from None
        finally:
            connection.close()

    def runs(self, limit: int = 100, kind: str | None = None, room: str | None = None) -> list[KeptRun]:
        """The latest, newest first; an empty history has none.

        Raises:
            HistoryError: the file cannot be read.
        """
        if not self.path.exists():
            return []
        wanted = {name: value for name, value in (("kind", kind), ("room", room)) if value is not None}
        where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
        with self.reading() as connection:
            query = f"SELECT {_COLUMNS}, lease FROM runs WHERE {where} ORDER BY begun DESC, id LIMIT ?"
            return [_read(row) for row in connection.execute(query, (*wanted.values(), limit))]

    def run(self, name: str) -> KeptRun:
        """One run.

        Raises:
            ValueError: there is none of this id, or the file cannot be read.
        """
        with self.reading() as connection:
            row = connection.execute(f"SELECT {_COLUMNS}, lease FROM runs WHERE id = ?", (name,)).fetchone()
        if row is None:
            raise ValueError(f"run must be the id of a kept run, got {name!r}: it was pruned, or kept elsewhere")
        return _read(row)

    def records(self, name: str) -> list[dict[str, Any]]:
        """What a run has told, in its order."""
        with self.reading() as connection:
            chunks = connection.execute("SELECT content FROM records WHERE run = ? ORDER BY number", (name,)).fetchall()
        return [record for (content,) in chunks for record in unpacked(content)]


def _insert(connection: sqlite3.Connection, run: KeptRun, lease: float) -> None:
    values = run.as_dict()
    for name in ("settings", "results", "versions"):
        values[name] = json.dumps(values[name])
    row = [values[name] for name in _COLUMNS.split(", ")]
    places = ", ".join("?" * (len(row) + 1))
    connection.execute(f"INSERT INTO runs ({_COLUMNS}, lease) VALUES ({places})", (*row, lease))


def _add(connection: sqlite3.Connection, run: str, number: int, content: bytes) -> None:
    connection.execute("INSERT INTO records (run, number, content) VALUES (?, ?, ?)", (run, number, content))


def _prune(connection: sqlite3.Connection, days: float, count: int, most_bytes: int) -> None:
    over = "state != 'running'"
    connection.execute(f"DELETE FROM runs WHERE {over} AND begun < ?", (time.time() - 86_400 * days,))
    latest = "SELECT id FROM runs ORDER BY begun DESC LIMIT ?"
    connection.execute(f"DELETE FROM runs WHERE {over} AND id NOT IN ({latest})", (count,))
    sizes = connection.execute(
        "SELECT runs.id, coalesce(sum(length(content)), 0) FROM runs LEFT JOIN records ON run = runs.id "
        f"WHERE {over} GROUP BY runs.id ORDER BY begun DESC"
    ).fetchall()
    used = 0
    for name, size in sizes:
        used += size
        if used > most_bytes:
            connection.execute("DELETE FROM runs WHERE id = ?", (name,))
    connection.execute("DELETE FROM rooms WHERE made < ?", (time.time() - 86_400,))


def _read(row: Sequence[Any]) -> KeptRun:
    *values, lease = row
    run = KeptRun(*values)
    run = replace(run, settings=json.loads(values[7]), results=json.loads(values[8]), versions=json.loads(values[9]))
    if run.state == "running" and lease < time.time():
        return replace(run, state="interrupted", ended=lease)
    return run

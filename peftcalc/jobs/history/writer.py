"""The one thread of a process that writes: it takes what has been asked for, all in one transaction, and then says so.

What cannot be written now (another program has the file, the disk is full) waits, within bounds; nobody waits for it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from peftcalc.jobs.history.database import HistoryError, explained, open_for_writing

Act = Callable[[sqlite3.Connection], None]
"""What is to be written."""

MOST_WAITING = 2_000
"""Acts that wait for the file; the oldest is given up for one more."""
AGAIN = 1.0
"""Seconds to the next try when something was in the way, and …"""
AGAIN_LASTING = 30.0
"""… when it will hardly pass by itself."""


class Writer:
    """Writes acts in their order.

    Args:
        path: the file.
        every: seconds between two calls of `beat` while nothing is asked for.
        beat: an act that is done again and again.

    Attributes:
        problem: why nothing is written now, in a sentence; empty when all is well.
    """

    def __init__(self, path: Path, beat: Act, every: float) -> None:
        self.path, self.beat, self.every = path, beat, every
        self.problem = ""
        self._connection: sqlite3.Connection | None = None
        self._waiting: deque[tuple[Act, Future[None]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._rests_until = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True, name="history")
        self._thread.start()

    def ask(self, act: Act) -> Future[None]:
        """Have something written; the future is done when it lies in the file and outlives this process."""
        future: Future[None] = Future()
        with self._changed:
            if self._closing:
                future.set_exception(HistoryError("The history is closed."))
                return future
            while len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()[1].set_exception(HistoryError(self.problem or "The history is too slow."))
            self._waiting.append((act, future))
            self._changed.notify()
        return future

    def close(self, patience: float = 5.0) -> None:
        """Write what waits, if that goes, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)

    def _work(self) -> None:
        beaten = 0.0
        while True:
            with self._changed:
                rest = self._rests_until - time.monotonic() if self._waiting else 0.0
                self._changed.wait_for(lambda: self._closing or self._ready(), rest if rest > 0 else self.every)
                batch = list(self._waiting) if self._closing or time.monotonic() >= self._rests_until else []
                closing = self._closing
            due = time.monotonic() - beaten >= self.every and time.monotonic() >= self._rests_until
            if batch or due:
                self._try([*batch, *([(self.beat, Future())] if due else [])])
                beaten = time.monotonic() if due else beaten
            if closing:
                break
        for _, future in self._waiting:
            future.set_exception(HistoryError(self.problem or "The history is closed."))
        if self._connection is not None:
            self._connection.close()

    def _ready(self) -> bool:
        return bool(self._waiting) and time.monotonic() >= self._rests_until

    def _try(self, batch: list[tuple[Act, Future[None]]]) -> None:
        try:
            failed = self._write(batch)
        except HistoryError as error:
            self.problem = str(error)
            self._rests_until = time.monotonic() + (AGAIN_LASTING if error.lasting else AGAIN)
            self._connection = None
            if error.lasting:  # what waits would wait for somebody who may never come
                self._give_up(error)
            return
        self.problem = ""
        with self._changed:
            written = {id(future) for _, future in batch}
            self._waiting = deque(one for one in self._waiting if id(one[1]) not in written)
        for _, future in batch:
            if not future.done():  # given up meanwhile, but written
                error = failed.get(id(future))
                future.set_exception(error) if error else future.set_result(None)

    def _give_up(self, error: HistoryError) -> None:
        with self._changed:
            waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            future.set_exception(error)

    def _write(self, batch: list[tuple[Act, Future[None]]]) -> dict[int, Exception]:
        """All of it in one transaction; what is wrong with one act alone does not hinder the others."""
        connection, failed = self._connection, {}
        try:
            if connection is None:
                connection = self._connection = open_for_writing(self.path)
            connection.execute("BEGIN IMMEDIATE")
            for act, future in batch:
                connection.execute("SAVEPOINT act")
                try:
                    act(connection)
                except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
                    if not isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError):
                        raise
                    failed[id(future)] = error
                    connection.execute("ROLLBACK TO act")
                except Exception as error:
                    failed[id(future)] = error
                    connection.execute("ROLLBACK TO act")
                connection.execute("RELEASE act")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise explained(error, self.path) from None
        return failed

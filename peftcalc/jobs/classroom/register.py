"""Classrooms in the history's file: made by the terminal, read and written by the server."""

from __future__ import annotations

import sqlite3
import time

from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.lines import wait

DAY = 86_400.0
"""Seconds after which a classroom is gone."""


def found(history: History, name: str, locked: str) -> None:
    """Make a classroom, or give one that is there another key, from the terminal.

    Raises:
        ValueError: the history cannot be written.
    """
    now = time.time()

    def act(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM rooms WHERE made < ?", (now - DAY,))
        row = (name, now, "{}", locked)
        update = "ON CONFLICT (name) DO UPDATE SET key = excluded.key"
        connection.execute(f"INSERT INTO rooms (name, made, state, key) VALUES (?, ?, ?, ?) {update}", row)

    wait(history, [history.ask(act)])


def latest(history: History) -> str | None:
    """The name of the classroom that was made last, if its day is not over."""
    if not history.path.exists():
        return None
    with history.reading() as connection:
        row = connection.execute("SELECT name FROM rooms WHERE made > ? ORDER BY made DESC", (time.time() - DAY,))
        name = row.fetchone()
    return None if name is None else name[0]


def write_state(connection: sqlite3.Connection, name: str, text: str) -> None:
    """What a classroom is now; one that the terminal has not made is not written."""
    connection.execute("UPDATE rooms SET state = ? WHERE name = ?", (text, name))


def room_row(history: History, name: str) -> tuple[float, str, str] | None:
    """When it was made, its state and its lock."""
    if not history.path.exists():
        return None
    with history.reading() as connection:
        return connection.execute("SELECT made, state, key FROM rooms WHERE name = ?", (name,)).fetchone()

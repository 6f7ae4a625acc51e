"""The file: its tables, how it is opened, and the sentence for each way in which that can fail."""

from __future__ import annotations

import sqlite3
from pathlib import Path

VERSION = 1
"""Of the tables. A file of a newer version is left alone."""
TABLES = (
    "CREATE TABLE runs (id TEXT PRIMARY KEY, kind TEXT NOT NULL, source TEXT NOT NULL, title TEXT NOT NULL, "
    "state TEXT NOT NULL, begun REAL NOT NULL, ended REAL, lease REAL NOT NULL, settings TEXT NOT NULL, "
    "results TEXT NOT NULL, versions TEXT NOT NULL, link TEXT NOT NULL, room TEXT NOT NULL)",
    "CREATE INDEX runs_by_time ON runs (begun)",
    "CREATE INDEX runs_by_room ON runs (room, ended)",
    "CREATE TABLE records (run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL, "
    "content BLOB NOT NULL, PRIMARY KEY (run, number)) WITHOUT ROWID",
    "CREATE TABLE rooms (name TEXT PRIMARY KEY, made REAL NOT NULL, state TEXT NOT NULL, key TEXT NOT NULL)",
)
WRITER_PATIENCE, READER_PATIENCE = 2.0, 1.0
"""Seconds that each waits for another process which has the file in hand."""


class HistoryError(ValueError):
    """The history cannot be used; the sentence says why.

    Attributes:
        lasting: whether trying again is in vain until somebody has done something about the file.
    """

    def __init__(self, sentence: str, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.lasting = lasting


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The file, made with its tables where there is none yet.

    Raises:
        HistoryError: it cannot be opened, is damaged, or is of a newer version.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HistoryError(f"The history cannot be kept: no folder for {path.name} ({error.strerror}).") from None
    return _open(path, WRITER_PATIENCE)


def open_for_reading(path: Path) -> sqlite3.Connection:
    """The file for somebody who changes nothing.

    Raises:
        HistoryError: as for `open_for_writing`.
    """
    if not path.exists():
        raise HistoryError("There is no history yet.")
    connection = _open(path, READER_PATIENCE)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _open(path: Path, patience: float) -> sqlite3.Connection:
    connection = None
    try:
        connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise HistoryError(
                f"The history {path.name} was written by a newer version of peftcalc (tables {version}, this one knows "
                f"{VERSION}): it is left alone, and nothing is kept.",
                lasting=True,
            )
        if version < VERSION:
            _make(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise explained(error, path) from None
        raise
    return connection


def _make(connection: sqlite3.Connection) -> None:
    """The tables, by whoever comes first."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] < VERSION:
        for statement in TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def explained(error: sqlite3.Error, path: Path) -> HistoryError:
    """What SQLite says, as a sentence.

    >>> print(explained(sqlite3.OperationalError("database is locked"), Path("history.sqlite")))
    The history history.sqlite is locked by another program: what is new is kept as soon as it is free.
    """
    name, said = f"The history {path.name}", str(error).lower()
    if "locked" in said or "busy" in said:
        return HistoryError(f"{name} is locked by another program: what is new is kept as soon as it is free.")
    if "full" in said:
        return HistoryError(f"There is no room for {name[0].lower()}{name[1:]}: what is new is kept when there is.")
    if "malformed" in said or "not a database" in said or "already exists" in said or "no such" in said:
        return HistoryError(f"{name} is damaged: nothing is kept until it is moved away.", lasting=True)
    return HistoryError(f"{name} cannot be used ({error}): nothing is kept.")

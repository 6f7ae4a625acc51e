"""A history as lines of JSON: one a run, with its records, for another machine or another program."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TextIO

from peftcalc.jobs.history.database import HistoryError, explained
from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import MOST_RECORD_BYTES, KeptRun
from peftcalc.outside_files import check_content
from peftcalc.units import for_json

AT_ONCE = 50
"""Runs that are read in before the file has been written."""


def exported(history: History, limit: int = 1_000_000) -> Iterator[str]:
    """Every run that has ended, the oldest first, each a line.

    Raises:
        HistoryError: the file cannot be read.
    """
    for run in reversed(history.runs(limit)):
        if run.state != "running":
            yield json.dumps(for_json({**run.as_dict(), "records": history.records(run.id)})) + "\n"


def imported(history: History, lines: Iterable[str]) -> tuple[int, int]:
    """Keep the runs of these lines; one that is there already is left as it is.

    Returns:
        How many are new, and how many were there.

    Raises:
        ValueError: a line is no run, with its number, or the file cannot be written; what came before it is kept.
    """
    new = there = 0
    waiting: list[Future[None]] = []
    known = {run.id for run in history.runs(1_000_000)}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        run, records = _read(number, line)
        if run.id in known:
            there += 1
            continue
        known.add(run.id)
        waiting.append(history.keep(run, records))
        new += 1
        if len(waiting) >= AT_ONCE:
            wait(history, waiting)
    wait(history, waiting)
    return new, there


def _read(number: int, line: str) -> tuple[KeptRun, list[dict[str, Any]]]:
    try:
        if len(line) > MOST_RECORD_BYTES:
            raise ValueError(f"it has {len(line):,} characters; at most {MOST_RECORD_BYTES:,} are read")
        values = json.loads(line)
        check_content(values, "it")
        if not isinstance(values, dict):
            raise ValueError("it is no object")
        records = values.pop("records", [])
        run = KeptRun.from_dict(values)
        whole = isinstance(records, list) and all(isinstance(record, dict) for record in records)
        if run.state == "running" or not whole:
            raise ValueError("it has not ended, or its records are none")
        return run, records
    except (ValueError, RecursionError, TypeError) as error:
        raise ValueError(f"line {number} must be a run as `history export` writes it: {error}") from None


def wait(history: History, waiting: list[Future[None]]) -> None:
    """Until all of it is written.

    Raises:
        HistoryError: it was not within half a minute.
    """
    try:
        for future in waiting:
            future.result(30)
    except TimeoutError:
        raise HistoryError(history.problem or "The history cannot be written now.") from None
    except sqlite3.Error as error:  # another process has kept a run of this id meanwhile
        raise explained(error, history.path) from None
    waiting.clear()


def read_lines(file: TextIO) -> Iterator[str]:
    """The lines of a file; of one without an end no more than makes it too long for a run."""
    while line := file.readline(MOST_RECORD_BYTES + 1):
        yield line

"""What a command trains goes into the user's history; where that cannot be, one line says so."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import KeptRun, KeptState

PATIENCE = 5.0
"""Seconds that a command waits at its end for the history."""


def add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-history", action="store_true", help="keep nothing of it (always: PEFTCALC_HISTORY=off)")


@dataclass
class Keeping:
    """A run of a command, on its way into the history.

    Args:
        history: None for whoever has opted out.
        run: what is known of it at its beginning.
        command: for the line that says what went wrong.
    """

    history: History | None
    run: KeptRun
    command: str
    _asked: list[Future[None]] = field(default_factory=list)

    def begin(self) -> None:
        """It is listed as running."""
        if self.history is not None:
            self._asked.append(self.history.begin(self.run))

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """What it has told."""
        if self.history is not None:
            self._asked.append(self.history.add(self.run.id, records))

    def end(self, state: KeptState, results: Sequence[Mapping[str, Any]]) -> None:
        """It is over, with what it came to."""
        if self.history is None:
            return
        self._asked.append(self.history.end(self.run.id, state, results))
        try:
            for future in self._asked:
                future.result(PATIENCE)
        except (TimeoutError, Exception) as error:
            said = self.history.problem or str(error) or "The history cannot be written now."
            print(f"peftcalc {self.command}: this run is not kept. {said}", file=sys.stderr)
        self.history.close()


def keeping(arguments: argparse.Namespace, run: KeptRun) -> Keeping:
    """Where the command's run is kept, if it is."""
    return Keeping(None if arguments.no_history else History.here(), run, arguments.command)

"""Ctrl-C while something goes on: the first one is a request, the second one an interruption."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody has asked to stop.

    Attributes:
        signal: SIGINT or SIGTERM, once it has come; else None.
    """

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """As shells tell it: 128 and the signal."""
        return 128 + (self.signal or signal.SIGINT)


@contextmanager
def interruptions() -> Iterator[Interruption]:
    """Within it the first SIGINT or SIGTERM is only noted, so that a step ends as a step; the next one interrupts."""
    noted = Interruption()
    if threading.current_thread() is not threading.main_thread():  # only there Python lets signals be handled
        yield noted
        return

    def note(number: int, _: FrameType | None) -> None:
        if noted.signal is not None:
            raise KeyboardInterrupt
        noted.signal = number
        if sys.stderr.isatty():
            print("\nstopping after this step; once more to stop at once", file=sys.stderr)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

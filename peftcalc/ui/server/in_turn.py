"""Scripts run in the order in which they were asked for, one at a time, and not all at once.

    with in_turn(): ...

One interpreter runs one script at a time, whatever the number of its threads. When sixty visitors move and all their
scripts are at work, each is passed over by the others every half a millisecond, as is the loop that sends the answers:
all are through late, where in turn most would have been through long before. A script that waits for something, or
whose page takes long, lets the next begin after `LONGEST`. What a visitor asks for while waiting is answered with it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

PLACES = 1
"""Scripts at once: there is one interpreter, and the loop that sends then has no more than one beside it. With two, 95
of 100 moves of ninety visitors were through 1.4 times as late."""
LONGEST = 0.1
"""Seconds after which a script that is still at work keeps nobody waiting: most moves take a sixth of it."""


class Turns:
    """A line before a few places.

    Args:
        places: how many are at work at once.
        longest: seconds after which a place is free, though who had it is still at work.
        clock: seconds.
    """

    def __init__(
        self, places: int = PLACES, longest: float = LONGEST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places, self._longest, self._clock = places, longest, clock
        self._lock = threading.Lock()
        self._at_work: dict[threading.Event, float] = {}
        """Since when, by who has a place."""
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place, and have it within."""
        mine = threading.Event()
        with self._lock:
            self._line.append(mine)
            self._call()
        while not mine.wait(self._longest):
            with self._lock:
                self._call()
        try:
            yield
        finally:
            with self._lock:
                self._at_work.pop(mine, None)
                self._call()

    def _call(self) -> None:
        """Whoever is first in line, as long as there is a place."""
        now = self._clock()
        for one, since in list(self._at_work.items()):
            if self._line and now - since >= self._longest:
                del self._at_work[one]
        while self._line and len(self._at_work) < self._places:
            following = self._line.popleft()
            self._at_work[following] = now
            following.set()


@contextmanager
def in_turn(turns: Turns | None = None) -> Iterator[None]:
    """Within, every script that begins to run waits for its turn."""
    plain, line = ScriptRunner._run_script_thread, turns or Turns()

    def run(runner: ScriptRunner) -> None:
        with line.turn():
            plain(runner)

    ScriptRunner._run_script_thread = run  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        ScriptRunner._run_script_thread = plain

"""Scripts run in the order in which they were asked for, one at a time, and not all at once.

    with in_turn(): ...

One interpreter runs one script at a time, whatever the number of its threads. When sixty visitors move and all their
scripts are at work, each is passed over by the others every half a millisecond, as is the loop that sends the answers:
all are through late, where in turn most would have been through long before. A script whose page takes long lets the
next begin after `LONGEST`, and one that waits for a worker gives its place away (`aside`). What a visitor asks for
while waiting is answered with it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

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
        self._mine = threading.local()
        """Of a thread that has or had a place: which."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place, and have it within."""
        self._take()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within, somebody else has this script's place; after it the script stands in line again."""
        if getattr(self._mine, "place", None) is None:  # not in a turn
            yield
            return
        self._leave()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        self._mine.place = mine = threading.Event()
        with self._lock:
            self._line.append(mine)
            self._call()
        while not mine.wait(self._longest):
            with self._lock:
                self._call()

    def _leave(self) -> None:
        mine, self._mine.place = self._mine.place, None
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


_of_this_server = Turns()


def aside() -> AbstractContextManager[None]:
    """While a page's script waits for what others do, and needs no interpreter: the next script begins."""
    return _of_this_server.aside()


@contextmanager
def in_turn(turns: Turns | None = None) -> Iterator[None]:
    """Within, every script that begins to run waits for its turn."""
    plain, line = ScriptRunner._run_script_thread, turns or _of_this_server

    def run(runner: ScriptRunner) -> None:
        with line.turn():
            plain(runner)

    ScriptRunner._run_script_thread = run  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        ScriptRunner._run_script_thread = plain

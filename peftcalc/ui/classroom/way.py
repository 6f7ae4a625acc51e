"""Who is on the way to another page: few at a time, so that each page is there at once when its turn has come.

And how many parts of pages are called: no more than there is time for.
"""

from __future__ import annotations

import threading

PLACES = 2
"""Visitors at a time: one whose page is made, and one whose page is being sent or whose browser is about to ask. Pages
that are made for another reason, as when a run begins or ends, take places too, but for one: somebody always goes."""
ASKS, MADE = 0.4, 1.5
"""Seconds for which a visitor holds a place: until the browser has asked, and from then on until the page is there. A
browser that does not ask, on a telephone that sleeps, keeps nobody waiting for longer."""


class Way:
    """Sessions that were called to another page and have not arrived, and those whose page is made.

    >>> way = Way()
    >>> [way.sets_out(name, now=0.0) for name in "abcd"]
    [True, True, False, False]
    >>> way.arrived("b"), way.sets_out("d", now=0.1)
    (True, True)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        """By session, how long it holds its place at the most."""
        self._called: set[str] = set()

    def sets_out(self, session: str, now: float) -> bool:
        """Take a place; False when none is free."""
        with self._lock:
            self._forget(now)
            if self._called and len(self._until) >= PLACES and session not in self._until:
                return False
            self._until[session] = now + ASKS
            self._called.add(session)
            return True

    def makes(self, session: str, now: float) -> None:
        """A page is being made for it, called or not: that takes a place, be one free or not."""
        with self._lock:
            self._forget(now)
            self._until[session] = now + MADE

    def arrived(self, session: str) -> bool:
        """Its page is there; whether it had a place."""
        with self._lock:
            self._called.discard(session)
            return self._until.pop(session, None) is not None

    def _forget(self, now: float) -> None:
        self._until = {name: until for name, until in self._until.items() if until > now}
        self._called &= self._until.keys()


SLOT, AHEAD = 0.02, 5
"""Seconds that a part of a page takes, and how many may wait for their time."""


class Pace:
    """Parts that are called, one after the other.

    >>> pace = Pace()
    >>> [pace.allows(now=0.0) for _ in range(AHEAD + 1)]
    [True, True, True, True, True, False]
    >>> pace.allows(now=SLOT), pace.allows(now=SLOT)
    (True, False)
    """

    def __init__(self) -> None:
        self._end = 0.0
        """When those are through that were called."""

    def allows(self, now: float) -> bool:
        """Take the next time; False when too many wait for theirs."""
        if self._end - now > (AHEAD - 0.5) * SLOT:
            return False
        self._end = max(self._end, now) + SLOT
        return True

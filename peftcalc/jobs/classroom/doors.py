"""How many seats of a classroom one address may take; it is known while the server runs, and never written."""

from __future__ import annotations

import threading
from collections import defaultdict

from peftcalc.jobs.classroom.state import mark

SEATS_OF_ADDRESS = 100
"""A third of a classroom: room for a lecture hall behind one router, and no more for who opens tab after tab."""


class Doors:
    """The addresses from which the seats of one classroom were taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: defaultdict[str, set[str]] = defaultdict(set)

    def enter(self, token: str, address: str | None) -> None:
        """Note where a visitor comes from who takes a seat.

        Args:
            token: of the visitor; who comes again takes no second seat.
            address: of the visitor's machine; None for this one, from which all may come who come through a proxy.

        Raises:
            ValueError: its address has taken its share.
        """
        if address is None:
            return
        with self._lock:
            taken, own = self._marks[address], mark(token)
            if own not in taken and len(taken) >= SEATS_OF_ADDRESS:
                raise ValueError(f"From your address {SEATS_OF_ADDRESS} seats were taken: ask your teacher.")
            taken.add(own)

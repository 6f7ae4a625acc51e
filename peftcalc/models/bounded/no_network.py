"""A thread that asks the net for nothing: what it asks is refused before it is sent.

Configurations name other repositories in many settings, and constructors look them up. Python announces every
connection to its audit hooks (PEP 578), whichever client makes it; a hook can refuse, and sees in which thread it is.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

_REQUESTS = frozenset(
    ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")
)

_here = threading.local()


class NetworkClosed(RuntimeError):
    """No OSError: clients would take it for a broken line, and try again."""


@contextlib.contextmanager
def closed_network() -> Iterator[list[str]]:
    """Within it, this thread's requests raise `NetworkClosed`; the list tells which were tried.

    >>> import socket
    >>> with closed_network() as asked:
    ...     socket.getaddrinfo("huggingface.co", 443)
    Traceback (most recent call last):
    peftcalc.models.bounded.no_network.NetworkClosed: no request is made here: socket.getaddrinfo
    """
    _install()
    before = getattr(_here, "asked", None)
    _here.asked = asked = []
    try:
        yield asked
    finally:
        _here.asked = before


@cache
def _install() -> None:
    """The hook, once: an audit hook cannot be taken out again."""
    sys.addaudithook(_heard)


def _heard(event: str, _: tuple[Any, ...]) -> None:
    if event in _REQUESTS:
        asked = getattr(_here, "asked", None)
        if asked is not None:
            asked.append(event)
            raise NetworkClosed(f"no request is made here: {event}")

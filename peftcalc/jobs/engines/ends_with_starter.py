"""A preload of Dask's processes on this machine: they end when the standard input does that their starter holds open.

So they never outlive the one who started them, however that one ends; a process of the crew does the same.
"""

from __future__ import annotations

import os
import sys
import threading


def dask_setup(_: object) -> None:
    """Called by Dask when the process starts."""
    threading.Thread(target=_listen, daemon=True).start()


def _listen() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)

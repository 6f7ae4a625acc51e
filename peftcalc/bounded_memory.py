"""An end to the memory that a worker process takes for what a stranger sent."""

from __future__ import annotations

from functools import cache
from pathlib import Path

STRANGER_BYTES = 2**30
"""Memory that one job may take beside what the worker has loaded."""


def bound_memory(beside: int = STRANGER_BYTES) -> None:
    """From now on this process may have so many bytes more than before its first job; for more is a MemoryError.

    Where the system has no such limit (Windows), the time limit of the queue remains.
    """
    data = _bytes_before()
    if data is None:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = data + beside if hard == resource.RLIM_INFINITY else min(data + beside, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


@cache
def _bytes_before() -> int | None:
    """Writable memory of this process when it was first asked; None where the system does not tell or bound it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:")), None)

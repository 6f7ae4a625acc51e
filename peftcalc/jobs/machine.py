"""How many worker processes this machine bears: cores and memory as the container has them, not the host."""

from __future__ import annotations

import os
from pathlib import Path

WORKER_BYTES = 600 * 2**20
"""What one worker may grow to: torch, a small base model, and five methods on it."""
MOST = 8

_CGROUP = Path("/sys/fs/cgroup")


def worker_count(cores: float | None = None, memory_bytes: float | None = None) -> int:
    """As many workers as there are whole cores and room for, at least one and at most eight.

    Args:
        cores: processor cores that may be used; None to look.
        memory_bytes: memory that is free; None to look.

    >>> worker_count(cores=2, memory_bytes=8e9), worker_count(cores=16, memory_bytes=2e9), worker_count(0.5, 1e8)
    (2, 3, 1)
    """
    asked = os.environ.get("PEFTCALC_WORKERS", "")
    if cores is None and asked.isdecimal() and int(asked):
        return min(MOST, int(asked))
    cores = usable_cores() if cores is None else cores
    memory_bytes = free_memory() if memory_bytes is None else memory_bytes
    return max(1, min(MOST, int(cores), int(memory_bytes // WORKER_BYTES)))


def usable_cores() -> float:
    """Cores this process may run on, less where a container's quota is smaller."""
    there = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota, _, period = _text(_CGROUP / "cpu.max").partition(" ")
    return min(there, int(quota) / int(period)) if quota.isdecimal() and period.strip().isdecimal() else there


def free_memory() -> float:
    """Bytes that are free, less where a container's limit is nearer; unknown reads as plenty."""
    there = next(
        (
            1024.0 * int(line.split()[1])
            for line in _text(Path("/proc/meminfo")).splitlines()
            if line.startswith("MemAvailable:")
        ),
        float("inf"),
    )
    limit, used = _text(_CGROUP / "memory.max").strip(), _text(_CGROUP / "memory.current").strip()
    return min(there, int(limit) - int(used)) if limit.isdecimal() and used.isdecimal() else there


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

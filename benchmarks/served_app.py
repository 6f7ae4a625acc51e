"""The app as a server of its own, and the browser that looks at it: for benchmarks, browser tests and screenshots."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHROMIUM = Path("/usr/bin/chromium")
"""Debian's; the browser that a test tool would download cannot be had everywhere."""
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def running_app(script: str = "app.py") -> Iterator[tuple[str, int]]:
    """The app, or another script, on a free port of the loopback interface; yields its address and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1"]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", script, *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PEFTCALC_HISTORY": "off", **os.environ},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/_stcore/health", server)
        yield url, server.pid
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(url: str, server: subprocess.Popen) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"the app ended at its start with code {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the app did not answer within two minutes")


def process_seconds(process: int) -> float:
    """Processor time that a process has used in all its threads, its children not counted."""
    return time.clock_gettime((~process << 3) | 2)  # the clock that clock_getcpuclockid(3) names on Linux


def memory_bytes(process: int) -> tuple[float, float]:
    """Memory of a process and of all below it: proportional set size, in which shared pages count once in all."""
    return _memory_of(process), sum(map(_memory_of, below(process)))


def below(process: int) -> list[int]:
    """Children of all threads, and theirs."""
    found = []
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(name) for name in children.read_text().split()]
        except OSError:  # it has just ended
            continue
    return found + [deeper for child in found for deeper in below(child)]


def _memory_of(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return sum(1024.0 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except OSError:
        return 0.0  # it has just ended

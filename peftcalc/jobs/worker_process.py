"""The app's end of a worker process: start it, tell it something, hear what it says, notice when it is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, Protocol, runtime_checkable

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "MALLOC_ARENA_MAX": "2",
    "TOKENIZERS_PARALLELISM": "false",
}


class Process(Protocol):
    """What is used of a process, as `subprocess.Popen` has it."""

    @property
    def stdin(self) -> IO[str] | None: ...
    @property
    def stdout(self) -> IO[str] | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


@runtime_checkable
class Starts(Protocol):
    """What starts a worker in its own way."""

    def start(self) -> Process: ...


Starter = Sequence[str] | Starts
"""How a worker process of this machine is started: a command, or what does it."""


def worker_command(*rooms: str) -> tuple[str, ...]:
    """How a worker is started: a fresh interpreter that shares no memory and no lock with the app.

    Args:
        rooms: modules that offer kinds of work, each in a table `KINDS`.
    """
    return (sys.executable, "-m", f"{__package__}.worker", *rooms)


def _fresh(command: Sequence[str]) -> Process:
    return subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, **ONE_THREAD},
    )


class WorkerProcess:
    """One worker. `hear` is called with each of its messages, and with None once when it is gone, from a thread."""

    def __init__(self, hear: Callable[[WorkerProcess, dict[str, Any] | None], None], start: Starter) -> None:
        self.ready = False
        self.process_id = 0
        """Of the process, once it is ready."""
        self.process = start.start() if isinstance(start, Starts) else _fresh(start)
        self._listener = threading.Thread(target=self._listen, args=(hear,), daemon=True)
        self._listener.start()

    def tell(self, **command: Any) -> None:
        """Send one command; to a worker that is just ending, nothing (its end is heard soon)."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def close(self) -> None:
        """End it by ending its input, and wait for it."""
        self._hang_up()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._listener.join(5)

    @property
    def farewell(self) -> str:
        """How it ended, in words."""
        code = self.process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _listen(self, hear: Callable[[WorkerProcess, dict[str, Any] | None], None]) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            for line in answers:
                try:
                    hear(self, json.loads(line))
                except json.JSONDecodeError:  # a line that its end cut off
                    self.process.kill()
        self.process.wait()
        self._hang_up()
        hear(self, None)

    def _hang_up(self) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

"""The app's end of the nursery: workers that are forked, each with what a `WorkerProcess` uses of a process."""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from peftcalc.jobs.worker_process import ONE_THREAD, Starter, worker_command


def forked(*rooms: str) -> Starter:
    """How a worker is started: as a copy of a process that has loaded the rooms, with which it shares what it does not
    change; where the system cannot, as a fresh interpreter.

    Args:
        rooms: modules that offer kinds of work, each in a table `KINDS`.
    """
    return Forked(rooms) if sys.platform == "linux" else worker_command(*rooms)


@dataclass(frozen=True)
class Forked:
    """The nursery's next child."""

    rooms: tuple[str, ...]

    def start(self) -> ForkedProcess:
        return _nursery.start(self.rooms)


class ForkedProcess:
    """A forked worker: not a child of this process, but of the nursery, which ends it and tells how it ended.

    Args:
        stdin, stdout: this process's ends of its pipes.
        life: this process's end of the socket by which the nursery hears that it shall end, and tells its exit code.
    """

    def __init__(self, stdin: IO[str], stdout: IO[str], life: socket.socket) -> None:
        self.stdin, self.stdout, self._life = stdin, stdout, life
        self._code: int | None = None
        self._lock = threading.Lock()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for a signal; 1 where the nursery has ended before it.

        Raises:
            subprocess.TimeoutExpired: it still lives.
        """
        with self._lock:
            if self._code is None:
                if not select.select([self._life], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired("worker", timeout or 0.0)
                self._code = int(self._life.recv(32) or b"1")
                self._life.close()
            return self._code

    def kill(self) -> None:
        """End it at once."""
        with suppress(OSError):  # it has ended, or the nursery has
            self._life.shutdown(socket.SHUT_WR)


class _Nursery:
    """The one nursery of this process, started with the first worker, and again if it should end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self, rooms: tuple[str, ...]) -> ForkedProcess:
        """One more worker, which need not be born yet."""
        told, hears = os.pipe()
        reads, tells = os.pipe()
        life, its_life = socket.socketpair()
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._begin()
            assert self._control is not None
            with suppress(BrokenPipeError):  # ended just now: the worker is never born, which is heard
                socket.send_fds(self._control, [json.dumps(rooms).encode()], [told, tells, its_life.fileno()])
        os.close(told)
        os.close(tells)
        its_life.close()
        return ForkedProcess(os.fdopen(hears, "w", encoding="utf-8"), os.fdopen(reads, encoding="utf-8"), life)

    def close(self) -> None:
        """Without this end of its socket it ends by itself."""
        with self._lock:
            if self._control is not None and self._process is not None:
                self._control.close()
                self._process.wait()
                self._process = self._control = None

    def _begin(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.nursery", str(its_end.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[its_end.fileno()],
                env={**os.environ, **ONE_THREAD},
            )


_nursery = _Nursery()
atexit.register(_nursery.close)

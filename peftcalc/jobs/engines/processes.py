"""Dask's own scheduler and workers as processes, with the settings under which runs are counted once and cost no more.

No failure is allowed: by default Dask starts a killed worker's task silently again. What costs processor time beside
the runs is left away: a profile of what runs, trimming of freed memory (which the next step takes again), fifty looks a
second at each process's event loop, tasks that are moved between workers. One thread and one run a process, as in the
crew.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peftcalc.jobs.engines.certificates import Certificates
from peftcalc.jobs.worker_process import ONE_THREAD
from peftcalc.lazy import needs

SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON": "{'MALLOC_TRIM_THRESHOLD_': None}",
    "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "100",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
    "DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__START": "False",
    **{name: value for name, value in ONE_THREAD.items() if name != "TOKENIZERS_PARALLELISM"},
}
"""Of the environment of both; the log keeps the last events of a topic, which are records that were told."""
ENDS = f"{__package__}.ends_with_starter"
LOOPBACK = "127.0.0.1"
STARTING_SECONDS = 60.0


def scheduler_command(host: str, port: int, certificates: Path | None = None) -> list[str]:
    """How a scheduler is started, with `SETTINGS` in its environment."""
    needs("distributed", "a cluster")
    protocol = [] if certificates is None else ["--protocol", "tls", *Certificates(certificates).options()]
    place = ["--host", host, "--port", str(port), "--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"]
    return [sys.executable, "-m", "dask", "scheduler", *place, *protocol]


def worker_command(scheduler: str, workers: int, certificates: Path | None = None) -> list[str]:
    """How so many worker processes are started, which join a scheduler and are started again when they end."""
    needs("distributed", "a cluster")
    shape = ["--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "0"]
    shape += ["--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"]
    secured = ["--host", LOOPBACK] if certificates is None else Certificates(certificates).options()
    return [sys.executable, "-m", "dask", "worker", scheduler, *shape, *secured]


class LocalProcesses:
    """A scheduler and its workers on this machine, reached by loopback alone; they end with `close`."""

    def __init__(self, workers: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="peftcalc-dask-")
        found = Path(self._folder.name, "scheduler.json")
        self.processes: list[subprocess.Popen[bytes]] = []
        try:
            self._start([*scheduler_command(LOOPBACK, 0), "--scheduler-file", str(found), "--preload", ENDS])
            self.url = self._address(found)
            place = ["--local-directory", self._folder.name, "--preload-nanny", ENDS]
            self._start([*worker_command(self.url, workers), *place])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End them, the workers first."""
        for process in reversed(self.processes):
            assert process.stdin is not None
            process.stdin.close()
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def _start(self, command: list[str]) -> None:
        quiet, environment = subprocess.DEVNULL, {**os.environ, **SETTINGS}
        self.processes.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, env=environment)
        )

    def _address(self, found: Path) -> str:
        """What the scheduler says of itself once it is there."""
        import json

        end = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < end and self.processes[0].poll() is None:
            with contextlib.suppress(OSError, ValueError):
                return json.loads(found.read_text())["address"]
            time.sleep(0.05)
        raise ValueError("a Dask scheduler does not start on this machine")

"""A process that loads what workers need once, and forks itself when one is wanted; its other end is `forked`.

Four workers that load torch, transformers and their rooms each for themselves take 300 MB and nine seconds of a core
apiece. Forked from one that has loaded, they share its memory until they write to it, and are there at once, also in
the place of one that was ended.

Over a socket come, for each worker, the rooms whose work it offers, as JSON, and three descriptors: what it reads, what
it writes, and a socket of its own: the worker ends when the app shuts that one down, and on it the app hears the exit
code. Where torch finds a GPU nothing is forked, for CUDA does not bear it: a worker is a fresh interpreter then.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from peftcalc.jobs import worker

REQUEST_BYTES = 65_536
"""Of one request at the most."""


class Nursery:
    """Serves its socket until the app closes the other end."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.loaded: set[str] = set()
        self.workers: dict[int, tuple[int, socket.socket]] = {}
        """By the descriptor that can be read when a worker has ended: its number, and the socket of its life."""
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select()[:1]:  # what follows may be of a worker that is gone by then
                if key.fileobj is self.control:
                    request, pipes, _, _ = socket.recv_fds(self.control, REQUEST_BYTES, 3)
                    if not request:
                        return
                    self._bear(json.loads(request), pipes)
                elif key.fd in self.workers:
                    self._bury(key.fd)
                else:
                    self._end(key.data)

    def _bear(self, rooms: Sequence[str], pipes: Sequence[int]) -> None:
        for pipe in pipes:
            os.set_inheritable(pipe, False)
        life = socket.socket(fileno=pipes[2])
        if sees_gpu():
            command = [sys.executable, "-m", worker.__name__, *rooms]
            its = [(os.POSIX_SPAWN_DUP2, pipe, number) for number, pipe in enumerate(pipes[:2])]
            number = os.posix_spawn(sys.executable, command, os.environ, file_actions=its)
        else:
            self._load(rooms)
            number = os.fork()
            if number == 0:
                self._become_worker(rooms, pipes, life)
        os.close(pipes[0])
        os.close(pipes[1])
        ended = os.pidfd_open(number)
        self.workers[ended] = number, life
        self.selector.register(ended, selectors.EVENT_READ)
        self.selector.register(life, selectors.EVENT_READ, ended)

    def _load(self, rooms: Sequence[str]) -> None:
        """What the rooms need, and a first try of their work; what goes wrong there the worker meets, and says."""
        if self.loaded.issuperset(rooms):
            return
        self.loaded.update(rooms)
        with suppress(Exception):
            offered = [importlib.import_module(room) for room in rooms]
            worker.prepare(offered)
            for _ in worker.warm_up(offered):
                pass
        gc.collect()
        gc.freeze()  # no collection of a worker writes to what it shares

    def _become_worker(self, rooms: Sequence[str], pipes: Sequence[int], life: socket.socket) -> None:
        """From here on this copy of the process is a worker, and never anything else."""
        try:
            os.dup2(pipes[0], 0)
            os.dup2(pipes[1], 1)
            os.close(pipes[0])
            os.close(pipes[1])
            for ended, (_, others) in self.workers.items():
                os.close(ended)
                others.close()
            life.close()
            self.selector.close()
            self.control.close()
            worker.serve_rooms(rooms, warm=False)
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(1)

    def _end(self, ended: int) -> None:
        """The app wants a worker to end, or is gone itself."""
        number, life = self.workers[ended]
        self.selector.unregister(life)
        os.kill(number, signal.SIGKILL)  # it is no zombie's number yet: only `_bury` waits for it

    def _bury(self, ended: int) -> None:
        number, life = self.workers.pop(ended)
        _, status = os.waitpid(number, 0)
        with suppress(KeyError):  # `_end` has done it
            self.selector.unregister(life)
        self.selector.unregister(ended)
        with suppress(BrokenPipeError):  # nobody wants to know any more
            life.send(b"%d" % os.waitstatus_to_exitcode(status))
        life.close()
        os.close(ended)


def sees_gpu() -> bool:
    """True where torch finds a GPU; asked in the way that does not start CUDA."""
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    try:
        import torch
    except (ImportError, OSError):
        return False
    return torch.cuda.is_available()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the app ends, and with it the socket
    Nursery(socket.socket(fileno=int(sys.argv[1]))).serve()

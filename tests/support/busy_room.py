"""Kinds of work that need no torch, as a room offers them: the queue's tests have an engine carry them out."""

import errno
import os
import signal
import time


def count(parameters, folder):
    """So many steps, each as long as asked, each with one record."""
    for step in range(parameters["steps"]):
        time.sleep(parameters.get("seconds", 0.0))
        yield step, (step + 1) / parameters["steps"], [{"name": parameters.get("name", ""), "step": step}]


def refuse(parameters, folder):
    yield 0, 0.5, [{"step": 0}]
    raise ValueError("rank must be between 1 and 64, got 99")


def break_down(parameters, folder):
    yield 0, 0.5, [{"step": 0}]
    raise RuntimeError("a secret path /home/somebody")


def crash(parameters, folder):
    yield 0, 0.5, [{"step": 0}]
    os.kill(os.getpid(), signal.SIGKILL)


def hang(parameters, folder):
    yield 0, 0.5, [{"step": 0}]
    time.sleep(600)


def chatter(parameters, folder):
    print("a library that prints")
    yield 0, 1.0, [{"step": index, "loss": float("nan")} for index in range(parameters["records"])]


def fill(parameters, folder):
    yield 0, 0.5, []
    raise OSError(errno.ENOSPC, "No space left on device", "/home/somebody")


def swell(parameters, folder):
    yield 0, 0.5, []
    raise MemoryError


def write(parameters, folder):
    (folder / "adapter.zip").write_bytes(b"zip")
    yield 0, 1.0, [{"step": 0}]


KINDS = {kind.__name__: kind for kind in (count, refuse, break_down, crash, hang, chatter, write, fill, swell)}

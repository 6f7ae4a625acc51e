"""A room with work that needs no time: what the nursery loads in the tests."""

import os
import time
from pathlib import Path

LOADED = "PEFTCALC_TEST_LOADED"
"""Where each process that loads this room leaves its number."""


def load():
    with Path(os.environ[LOADED]).open("a") as told:
        told.write(f"load {os.getpid()}\n")


def warm_up():
    with Path(os.environ[LOADED]).open("a") as told:
        told.write(f"warm {os.getpid()}\n")
    yield


def count(parameters, folder):
    """So many records, each with the numbers of the worker and of the process that forked it."""
    for step in range(parameters["steps"]):
        yield step, 1.0, [{"step": step, "worker": os.getpid(), "from": os.getppid()}]


def hang(parameters, folder):
    yield 0, 0.5, [{"worker": os.getpid()}]
    time.sleep(600)


KINDS = {"count": count, "hang": hang}

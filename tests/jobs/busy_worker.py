"""A worker process with the kinds of `busy_room`, started by the queue's tests."""

import sys
from pathlib import Path

from peftcalc.jobs.worker import serve

sys.path.append(str(Path(__file__).parents[1] / "support"))

import busy_room

if __name__ == "__main__":
    serve(busy_room.KINDS, lambda: {"devices": [["cpu", "CPU"]]})

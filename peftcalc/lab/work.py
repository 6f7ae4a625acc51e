"""The kinds of work that this room offers to a queue, by name.

A kind is a generator function of parameters (JSON) and a folder for files; it yields the step it has reached, its
progress from 0 to 1, and new records. Bad input is a ValueError, as everywhere. A worker imports this module; what is
heavy is loaded when a kind begins.
"""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.lab.records import StepRecord
from peftcalc.lab.runs.intruder_job import intruder_job
from peftcalc.lab.stacked.job import stacked_runs
from peftcalc.lab.sweeps.elsewhere import runs_job
from peftcalc.lab.training_jobs import finetune_runs, start
from peftcalc.lab.watched_runs import moves_job
from peftcalc.methods import METHODS

KINDS = {
    "finetune": finetune_runs,
    "moves": moves_job,
    "stacked": stacked_runs,
    "runs": runs_job,
    "intruders": intruder_job,
}


def warm_up() -> Iterator[StepRecord]:
    """A step of the default task with each method, so that what is loaded at first use is there at the first click."""
    for name in METHODS:
        try:
            yield from start({"task": "names", "method": name, "rank": 2, "steps": 1})
        except (ValueError, ImportError, OSError):  # no torch, or a part of it: the visitor who asks is told
            continue

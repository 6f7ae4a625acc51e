"""Runs whose matrices are looked at for intruder dimensions while they learn, as work for a queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peftcalc.checks import whole_number
from peftcalc.geometry.intruders import intruder_dimensions
from peftcalc.lab.training_jobs import Tick, start

MOST_RUNS = 8
"""Of one part of a job."""


def intruder_job(parameters: dict[str, Any], folder: Path) -> Iterator[Tick]:
    """The strongest directions of every matrix at each look at held-out data.

    Args:
        parameters: `runs`, a list of arguments of `training_jobs.start`, each with a `run` that its records carry.
        folder: unused; nothing is saved.

    Yields:
        At each look one record with `run`, `step` and `validation`, and one a matrix with `run`, `step`, `matrix`,
        `before` and `after` (singular values, strongest first) and `cosines` (of each of the strongest after training
        the largest with any from before).

    Raises:
        ValueError: no run or too many, a setting out of its range.
    """
    del folder
    runs = parameters["runs"]
    whole_number("the number of runs", len(runs), 1, MOST_RUNS)
    for place, arguments in enumerate(runs):
        own = dict(arguments)
        name = str(own.pop("run"))
        run = start(own)
        for record in run:
            steps = run.settings.steps
            records: list[dict[str, Any]] = []
            if record.validation is not None:
                records.append({"run": name, "step": record.step, "validation": record.validation})
                for matrix, (before, after) in run.student.matrices().items():
                    records.append({"run": name, "step": record.step, "matrix": matrix, **_found(before, after)})
            yield place * steps + record.step, (place + record.step / steps) / len(runs), records
        run.close()


def _found(before: Any, after: Any) -> dict[str, list[float]]:
    found = intruder_dimensions(before, after)
    return {name: getattr(found, name).round(4).tolist() for name in ("before", "after", "cosines")}

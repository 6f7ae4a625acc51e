"""How matrices move while they learn: direction and magnitude of each at every checkpoint, told as a job's records.

One record a matrix and checkpoint. The change of lengths is there absolute and relative, by rows and by columns; a
LoRA run also tells what a random update of the same size and rank would have done to the same matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peftcalc.geometry.magnitude_direction_plane import matrix_moves
from peftcalc.lab.training_jobs import Tick, start
from peftcalc.methods import LoRA


def moves_job(parameters: dict[str, Any], folder: Path) -> Iterator[Tick]:
    """Runs whose matrices are watched, in turn.

    Args:
        parameters: `runs`, a list of arguments of `training_jobs.start`, each with a `run` that its records carry, and
            optionally `rows`, true for the figures of every row at the end.
        folder: unused; nothing is saved.

    Yields:
        Records with `run`, `step`, `matrix`, and for each norm `[ΔM, relative ΔM, ΔD]`.
    """
    runs = parameters["runs"]
    for place, arguments in enumerate(runs):
        own = dict(arguments)
        name, rows = str(own.pop("run")), bool(own.pop("rows", False))
        run = start(own)
        for record in run:
            steps = run.settings.steps
            records: list[dict[str, Any]] = []
            if record.validation is not None:
                records.append({"run": name, "step": record.step, "validation": record.validation})
            if record.changes:
                method = run.settings.method
                rank = method.rank if isinstance(method, LoRA) and method.name == "lora" else None
                with_rows = rows and record.step == steps
                for matrix, (before, after) in run.student.matrices().items():
                    told = matrix_moves(before, after, rank, with_rows, seed=run.settings.seed)
                    records.append({"run": name, "step": record.step, "matrix": matrix, **told})
            yield place * steps + record.step, (place + record.step / steps) / len(runs), records
        run.close()

"""How matrices move while they learn: direction and magnitude of each at every checkpoint, told as a job's records.

One record a matrix and checkpoint. The change of lengths is there absolute and relative, by rows and by columns; a
LoRA run also tells what a random update of the same size and rank would have done to the same matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcalc.lab.direction import NORMS, Decomposition, decompose, random_updates
from peftcalc.lab.job_kinds import start
from peftcalc.methods import LoRA

if TYPE_CHECKING:
    from peftcalc.lab.worker import Tick


def moves_job(parameters: dict[str, Any], folder: Path) -> Iterator[Tick]:
    """Runs whose matrices are watched, in turn.

    Args:
        parameters: `runs`, a list of arguments of `peftcalc.lab.job_kinds.start`, each with a `run` that its records
            carry, and optionally `rows`, true for the figures of every row at the end.
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


def matrix_moves(
    before: np.ndarray, after: np.ndarray, rank: int | None = None, rows: bool = False, seed: int = 0
) -> dict[str, Any]:
    """One matrix's move, by each norm as `[ΔM, relative ΔM, ΔD]`.

    Args:
        before, after: weights of shape `(out, in)`.
        rank: of a random update of the same size to tell beside it, under `random`; None for none.
        rows: also tell of every row the relative change of length and 1 − cos.
        seed: of the random update.

    >>> matrix_moves(np.array([[3.0, 4.0]]), np.array([[6.0, 8.0]]))["row"]
    [5.0, 1.0, 0.0]
    """
    told: dict[str, Any] = {}
    for norm in NORMS:
        change = decompose(before, after, norm)
        told[norm] = _three(before, change, norm)
        if rows and norm == "row":
            told |= {"lengths": change.relative_lengths.tolist(), "turns": change.turns.tolist()}
    if rank is not None:
        told["random"] = _random(before, after, rank, rows, seed)
    return told


def _random(before: np.ndarray, after: np.ndarray, rank: int, rows: bool, seed: int) -> dict[str, Any]:
    """The same of a random update; by columns, it is one of the transposed matrix."""
    size = float(np.linalg.norm(after - before) / np.linalg.norm(before))
    told: dict[str, Any] = {}
    for norm in NORMS:
        weight = before if norm == "row" else before.T
        (change,) = random_updates(weight, min(rank, *weight.shape), [size], seed)
        told[norm] = _three(weight, change, "row")
        if rows and norm == "row":
            told |= {"lengths": change.relative_lengths.tolist(), "turns": change.turns.tolist()}
    return told


def _three(before: np.ndarray, change: Decomposition, norm: str) -> list[float]:
    relative = np.abs(change.relative_lengths)
    return [change.magnitude_change, float(relative[np.isfinite(relative)].mean()), change.direction_change]

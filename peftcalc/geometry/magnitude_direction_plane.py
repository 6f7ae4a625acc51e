"""The ΔM–ΔD plane of the DoRA paper: a matrix's place in it, and the points and correlations that many of them make.

One matrix at one checkpoint is told as a record, by rows and by columns, absolute and relative; a LoRA run also tells
what a random update of the same size and rank would have done. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from peftcalc.checks import one_of
from peftcalc.geometry.correlation import Correlation, correlation
from peftcalc.geometry.direction import NORMS, Decomposition, decompose, random_updates

PANELS = ("full", "lora", "dora", "random")
"""What is compared; "random" is an untrained update as large as LoRA's."""
Records = Sequence[Mapping[str, Any]]


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


def points(
    records: Records, panel: str, ending: str, norm: str = "row", relative: bool = False, steps: int = 300
) -> list[dict[str, Any]]:
    """One point a matrix and checkpoint.

    Args:
        records: as a job or a stored lesson holds them.
        panel: one of `PANELS`.
        ending: what follows the method in the run's name: `<seed>-<weight decay>`.
        norm: "row" or "column".
        relative: ΔM as a share of the length before.
        steps: of the run, to tell how far a checkpoint is.

    Returns:
        Dictionaries of matrix, kind, checkpoint (0 to 1), turn (ΔD) and length (ΔM).

    >>> told = [{"run": "lora-0-0", "step": 75, "matrix": "first.0", "row": [0.2, 0.1, 0.03]}]
    >>> points(told, "lora", "0-0")[0]["length"], points(told, "lora", "0-0", relative=True)[0]["length"]
    (0.2, 0.1)
    """
    one_of("norm", norm, NORMS)
    found = []
    for record in _of(records, panel, ending):
        told = record["random"] if panel == "random" else record
        length, share, turn = told[norm]
        found.append(
            {
                "matrix": record["matrix"],
                "kind": record["matrix"].partition(".")[0],
                "checkpoint": record["step"] / steps,
                "turn": turn,
                "length": share if relative else length,
            }
        )
    return found


def neurons(records: Records, panel: str, ending: str) -> list[dict[str, Any]]:
    """One point a row at the end of the run: matrix, turn (1 − cos) and length (Δm / m); empty where not recorded."""
    found = []
    for record in _of(records, panel, ending):
        told = record["random"] if panel == "random" else record
        for turn, length in zip(told.get("turns", ()), told.get("lengths", ()), strict=True):
            found.append({"matrix": record["matrix"], "turn": turn, "length": length})
    return found


def correlated(found: Sequence[Mapping[str, Any]]) -> Correlation | None:
    """Pearson correlation of length and turn, its interval from drawing whole matrices; None below three matrices."""
    groups = [point["matrix"] for point in found]
    if len(set(groups)) < 3:
        return None
    answer = correlation([p["turn"] for p in found], [p["length"] for p in found], groups, draws=1000)
    return answer if math.isfinite(answer.r) else None


def spread(
    records: Records, panel: str, endings: Sequence[str], norm: str = "row", relative: bool = False
) -> tuple[float, float, float]:
    """Mean, lowest and highest correlation over several base models, each with its own points."""
    values = []
    for ending in endings:
        found = points(records, panel, ending, norm, relative)
        values.append(float(np.corrcoef([p["turn"] for p in found], [p["length"] for p in found])[0, 1]))
    return float(np.mean(values)), min(values), max(values)


def last_loss(records: Records, panel: str, ending: str) -> float:
    """Held-out loss at the last checkpoint; NaN before the first."""
    losses = [r["validation"] for r in records if r["run"] == f"{panel}-{ending}" and "validation" in r]
    return losses[-1] if losses else math.nan


def _of(records: Records, panel: str, ending: str) -> list[Mapping[str, Any]]:
    one_of("panel", panel, PANELS)
    name = f"{'lora' if panel == 'random' else panel}-{ending}"
    return [record for record in records if record["run"] == name and "matrix" in record]

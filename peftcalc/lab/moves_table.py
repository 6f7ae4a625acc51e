"""What the records of `peftcalc.lab.moves` say: points of matrices, points of neurons, and correlations. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from peftcalc.checks import one_of
from peftcalc.lab.direction import NORMS, Correlation, correlation

PANELS = ("full", "lora", "dora", "random")
"""What is compared; "random" is an untrained update as large as LoRA's."""
Records = Sequence[Mapping[str, Any]]


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

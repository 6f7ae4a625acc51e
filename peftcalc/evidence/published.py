"""Published measurements of fine-tuning memory, and what the estimate and the simulation say for the same set-up."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.memory.estimate.closed_form import MemoryEstimate
from peftcalc.memory.needed import needed_by
from peftcalc.memory.records import MemoryTrace
from peftcalc.methods import Method, make_method

TABLE = Path(__file__).parent / "data" / "published.csv"

SETUPS = {
    "known": "transformers and peft, with everything that matters stated or in the source",
    "other stack": "everything is stated, but the model's and the adapters' code are not transformers' and peft's",
    "partly known": "something that matters is not stated",
}
"""How well a row's set-up is known."""

_SWITCHES = ("checkpointing", "autocast", "adapters_float32", "kbit_upcast", "padding", "keep_outputs")


@dataclass(frozen=True)
class Measurement:
    """One published figure with its set-up."""

    id: str
    model: str | dict[str, Any]
    """A catalogue id, or a configuration where no catalogue has the model."""
    method: Method
    batch: int
    sequence: int
    options: dict[str, Any]
    """Keyword arguments of `estimate_memory` and `simulate_memory`."""
    measured_bytes: int
    rounding_bytes: int
    """The last digit that was printed; 0 where every byte was."""
    quantity: str
    """What was measured: "max_memory_reserved", "peak memory", or "not named"."""
    as_printed: str
    stack: str
    setup: str
    """One of `SETUPS`."""
    hardware: str
    source: str
    note: str

    def predict(self, answer: MemoryEstimate | MemoryTrace) -> int:
        """The same quantity as was measured, from what was estimated or simulated.

        What the allocator is expected to reserve is added, and where the quantity is not named (it is then most likely
        what nvidia-smi showed) the CUDA context too (`peftcalc.memory.needed`).
        """
        needs = needed_by(answer)
        return needs.shown_bytes if self.quantity == "not named" else needs.reserved_bytes

    def error(self, answer: MemoryEstimate | MemoryTrace) -> float:
        """Relative error of the prediction; 0 within the rounding of the printed figure."""
        difference = self.predict(answer) - self.measured_bytes
        return 0.0 if abs(difference) <= self.rounding_bytes / 2 else difference / self.measured_bytes


@cache
def published() -> tuple[Measurement, ...]:
    """Every row of the table, in its order.

    >>> published()[0].id, published()[0].method.rank
    ('peft-lora-r32', 32)
    """
    text = TABLE.read_text(encoding="utf-8")
    return tuple(_measurement(row) for row in csv.DictReader(text.splitlines()))


def _measurement(row: dict[str, str]) -> Measurement:
    """One row of the file; switches are "yes", "no" or empty for the default."""
    switches = {name: row[name] == "yes" for name in _SWITCHES if row[name]}
    choices = {name: row[name] for name in ("dtype", "optimizer", "attention", "loss")}
    return Measurement(
        id=row["id"],
        model=json.loads(row["model"]) if row["model"].startswith("{") else row["model"],
        method=_method(row),
        batch=int(row["batch"]),
        sequence=int(row["sequence"]),
        options={**choices, **switches},
        measured_bytes=int(row["measured_bytes"]),
        rounding_bytes=int(row["rounding_bytes"] or 0),
        quantity=row["quantity"],
        as_printed=row["as_printed"],
        stack=row["stack"],
        setup=row["setup"],
        hardware=row["hardware"],
        source=row["source"],
        note=row["note"],
    )


def _method(row: dict[str, str]) -> Method:
    if row["method"] == "full":
        return make_method("full")
    targets = row["targets"]
    return make_method(
        row["method"],
        rank=int(row["rank"]),
        alpha=float(row["alpha"]),
        dropout=float(row["dropout"]),
        targets=targets if targets == "all-linear" else tuple(targets.split(",")),
        double_quant=row["double_quant"] != "no",
    )

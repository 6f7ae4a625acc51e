"""Measured bytes of training steps whose set-up is known: allocated, reserved, and of the whole process."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.methods import ALL_LINEAR, Method, make_method

TABLE = Path(__file__).parent / "data" / "memory_measured.csv"


@dataclass(frozen=True)
class Measured:
    """One measured step on one card."""

    id: str
    card: str
    """As the table of cards calls it."""
    gpus: int
    model: str | dict[str, Any]
    """A catalogue id, or a configuration where no catalogue has the model."""
    method: Method
    batch: int
    sequence: int
    options: dict[str, Any]
    """Keyword arguments of `estimate_memory`; what the row's stack does of its own is among them."""
    allocated: int
    """torch.cuda.max_memory_allocated, in bytes."""
    reserved: int
    """torch.cuda.max_memory_reserved; 0 where it was not taken down."""
    process: int
    """What nvidia-smi showed of the process; 0 where it was not taken down."""
    setup: str
    used_for: str
    """What in our rules was found or set with this row in sight; empty for a row that judges them."""
    source: str


@cache
def measured() -> tuple[Measured, ...]:
    """Every row of the table, in its order.

    >>> measured()[0].card, measured()[0].allocated
    ('A100 80GB', 26704571904)
    """
    return tuple(_row(row) for row in csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))


def _row(row: dict[str, str]) -> Measured:
    card, _, pair = row["card"].removeprefix("Tesla ").partition(" x")
    options = json.loads(row["options"]) | json.loads(row["stack"] or "{}") | {"card": card}
    return Measured(
        id=row["id"],
        card=card,
        gpus=int(pair or 1),
        model=json.loads(row["model"]) if row["model"].startswith("{") else row["model"],
        method=_method(row),
        batch=int(row["batch"]),
        sequence=int(row["sequence"]),
        options=options,
        allocated=int(row["measured_allocated"] or 0),
        reserved=int(row["measured_reserved"] or 0),
        process=int(row["measured_process"] or 0),
        setup=row["setup"],
        used_for=row["used_for"],
        source=row["source"],
    )


def _method(row: dict[str, str]) -> Method:
    if row["method"] == "full":
        return make_method("full")
    named: dict[str, Any] = {
        "rank": int(row["rank"]),
        "alpha": float(row["alpha"]),
        "dropout": float(row["dropout"] or 0),
    }
    if row["double_quant"]:
        named["double_quant"] = row["double_quant"] == "True"
    return make_method(row["method"], targets=targets_of(row["targets"]), **named)


def targets_of(text: str) -> str | tuple[str, ...]:
    """Names divided by spaces; "all-linear" or a regular expression as they are."""
    names = tuple(text.split())
    plain = all(character.isalnum() or character in "_.-" for name in names for character in name)
    return names if plain and text != ALL_LINEAR else text

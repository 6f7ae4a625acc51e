"""A training record as JSON and back, to pass it between processes and to store it."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from peftcalc.lab.records import MatrixChange, StepRecord

_DEFAULTS = {
    f.name: f.default if f.default is not MISSING else f.default_factory()  # type: ignore[misc]
    for f in fields(StepRecord)
    if f.default is not MISSING or f.default_factory is not MISSING
}


def record_to_json(record: StepRecord, run: str = "", rows: bool = False) -> dict[str, Any]:
    """A record as JSON can hold it; what is at its default is left out.

    >>> record_to_json(StepRecord(step=0, steps=10, loss=2.5, validation=2.5), run="lora")
    {'run': 'lora', 'step': 0, 'steps': 10, 'loss': 2.5, 'validation': 2.5}
    """
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    message = {name: value for name, value in values.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}
    if record.changes:
        kept = [f.name for f in fields(MatrixChange)][: None if rows else 3]
        message["changes"] = [{name: getattr(change, name) for name in kept} for change in record.changes]
    return {"run": run, **message}


def record_from_json(message: dict[str, Any]) -> StepRecord:
    """The record of `record_to_json`; numbers that JSON cannot hold come back as NaN.

    >>> record_from_json({"run": "lora", "step": 3, "steps": 10, "loss": None}).loss
    nan
    """
    values = {name: value for name, value in message.items() if name != "run"}
    values["loss"] = float("nan") if values["loss"] is None else values["loss"]
    values["samples"] = tuple(values.get("samples", ()))
    values["changes"] = tuple(
        MatrixChange(
            change["matrix"],
            change["magnitude_change"],
            change["direction_change"],
            tuple(change.get("relative_lengths", ())),
            tuple(change.get("turns", ())),
        )
        for change in values.get("changes", ())
    )
    return StepRecord(**values)

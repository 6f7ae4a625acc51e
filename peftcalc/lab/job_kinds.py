"""The kinds of jobs, and how training becomes one.

A kind is a generator function of parameters (JSON) and a folder for files; it yields the step it has reached, its
progress from 0 to 1, and new records. Bad input is a ValueError, as everywhere.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.lab.records import MatrixChange, StepRecord
from peftcalc.methods import METHODS, make_method

if TYPE_CHECKING:
    from peftcalc.lab.training import Run
    from peftcalc.lab.worker import Tick

KINDS = {
    "finetune": "peftcalc.lab.job_kinds:finetune_runs",
    "moves": "peftcalc.lab.moves:moves_job",
    "simulate": "peftcalc.memory.trace_json:simulate_job",
}
"""Where each kind is: loaded by the worker when it is first asked for."""


def finetune_runs(parameters: dict[str, Any], folder: Path) -> Iterator[Tick]:
    """Runs that take their steps in turn, so that their curves grow together.

    Args:
        parameters: `runs`, a list of arguments of `peftcalc.finetune` (the method as name, its options under `options`
            of the method: see `start`), each with a `run` that its records carry; `rows`, true for the changes of every
            row at the end.
        folder: where the adapters go, as `<run>.zip`.

    Yields:
        Records as `record_to_json` writes them.
    """
    asked = parameters["runs"]
    rows = bool(parameters.get("rows"))
    runs: dict[str, Run] = {}
    for arguments in asked:  # step 0 of each as soon as it is there
        name = str(arguments["run"])
        runs[name] = start({key: value for key, value in arguments.items() if key != "run"})
        yield 0, 0.0, [record_to_json(next(runs[name]), name, rows)]
    steps = max(run.settings.steps for run in runs.values())
    going = dict(runs)
    for step in range(1, steps + 1):
        records = []
        for name, run in list(going.items()):
            record = next(run, None)
            if record is None:
                del going[name]
            else:
                records.append(record_to_json(record, name, rows))
        if step == steps or not going:
            save_adapters(runs, folder)
        yield step, step / steps, records
        if not going:
            return


def start(arguments: dict[str, Any]) -> Run:
    """`peftcalc.finetune` with a method that JSON can hold: `{"task": "names", "method": "lora", "rank": 4, …}`.

    What the method takes goes to the method, all else to the run.
    """
    from peftcalc.lab.training import finetune

    name = arguments["method"]
    own = {f.name for f in fields(METHODS["qdora"])}
    method = make_method(name, **{key: value for key, value in arguments.items() if key in own})
    rest = {key: value for key, value in arguments.items() if key not in own and key != "method"}
    return finetune(method=method, **rest)


def save_adapters(runs: dict[str, Run], folder: Path) -> None:
    """Each run's adapter as a zip of peft's two files; full fine-tuning has none."""
    from peftcalc.lab import save_adapter

    for name, run in runs.items():
        if run.settings.method.has_adapter and folder.is_dir():
            files = folder / name
            save_adapter(run.module, files)
            with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(files.iterdir()):
                    archive.write(file, file.name)


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


def warm_up() -> Iterator[StepRecord]:
    """A step of the default task with each method, so that what is loaded at first use is there at the first click."""
    for name in METHODS:
        try:
            yield from start({"task": "names", "method": name, "rank": 2, "steps": 1})
        except (ValueError, ImportError, OSError):  # no torch, or a part of it: the visitor who asks is told
            continue

"""Many runs of a small model as work for a queue: trained stacked, told at every look at held-out data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.checks import whole_number
from peftcalc.lab.run_settings import RunSettings, run_settings
from peftcalc.lab.stacked.which import stackable, stacks
from peftcalc.lab.training_jobs import Tick
from peftcalc.methods import METHODS, make_method

if TYPE_CHECKING:
    from peftcalc.lab.records import StepRecord

MOST_RUNS = 400
"""Of one part of a job."""


def stacked_runs(parameters: dict[str, Any], folder: Path) -> Iterator[Tick]:
    """Groups of runs, one after the other, so that a map of the first seed is there before the last seed begins.

    Args:
        parameters: `groups`, lists of runs that can be stacked, each the arguments of `peftcalc.finetune` with the
            method as name, its options beside it, and a `run` that its records carry.
        folder: unused; nothing is saved.

    Yields:
        At each look at held-out data a record with `run`, `step`, `loss`, `validation` and `metrics`; of a run that
        diverged its `stopped`. The step counts on from one stack to the next.

    Raises:
        ValueError: too many runs, one that cannot be stacked, a setting out of its range.
    """
    del folder
    groups = [[(str(one["run"]), _settings(one)) for one in group] for group in parameters["groups"]]
    whole_number("the number of runs", sum(map(len, groups)), 1, MOST_RUNS)
    for name, one in (named for group in groups for named in group):
        if not stackable(one):
            raise ValueError(f"run {name} must be one that can be stacked, got {one.method!r} on {one.task}")
    stacked = [[group[place] for place in places] for group in groups for places in stacks([one for _, one in group])]
    every = sum(group[0][1].steps for group in stacked)
    made = 0
    for group in stacked:
        for step, records in _steps(group):
            yield made + step, (made + step) / every, records
        made += group[0][1].steps


def _steps(group: list[tuple[str, RunSettings]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Each step of one stack, with the looks that it tells."""
    from peftcalc.lab.stacked.stack import Stack

    for told in Stack([one for _, one in group]):
        looks = [_look(group[place][0], record) for place, record in told if _tells(record)]
        yield told[0][1].step, looks


def _tells(record: StepRecord) -> bool:
    return record.validation is not None or record.stopped is not None


def _look(name: str, record: StepRecord) -> dict[str, Any]:
    look = {"run": name, "step": record.step, "loss": record.loss, "validation": record.validation}
    return {**look, "metrics": record.metrics, **({"stopped": record.stopped} if record.stopped else {})}


def _settings(arguments: dict[str, Any]) -> RunSettings:
    own = {f.name for f in fields(METHODS["qdora"])}
    method = make_method(arguments["method"], **{key: value for key, value in arguments.items() if key in own})
    rest = {key: value for key, value in arguments.items() if key not in own and key not in ("method", "run")}
    return run_settings(method=method, **rest)

"""From options and their values to the settings of every run. No torch here."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from peftcalc.checks import listed, one_of, whole_number
from peftcalc.lab.run_settings import RunSettings, run_settings, some_seeds
from peftcalc.lab.tasks.catalogue import find_task
from peftcalc.methods import METHODS, Method, make_method

MAX_RUNS = 10_000
"""In one sweep."""
METHOD_OPTIONS = tuple(f.name for f in fields(METHODS["qdora"]))
RUN_OPTIONS = ("steps", "learning_rate", "weight_decay", "batch", "device", "dtype", "evaluations")
_LISTS = ("targets", "exclude", "modules_to_save", "target_parameters", "layers_to_transform", "layers_pattern")
"""Options of which a tuple is one value."""


def grid_settings(
    task: str, grid: Mapping[str, Any] | None, seeds: int | Iterable[int], **fixed: Any
) -> list[RunSettings]:
    """The settings of every run of a grid, each once: an option that a method does not have does not multiply its runs.

    Args:
        task: as for `finetune`.
        grid: option → values, or one value: `methods` (names or methods; None for the five), the options of methods,
            of a run, and of the task. Options given to a method itself give way to those of the grid.
        seeds: how many, counted from 0, or which.
        fixed: options with one value.

    Raises:
        ValueError: an unknown option, with the nearest; a value out of its range; too many runs.

    >>> runs = grid_settings("digits", {"methods": ["full", "lora"], "rank": [1, 4]}, seeds=2)
    >>> [(one.method, one.seed) for one in runs]
    [(Full(), 0), (Full(), 1), (LoRA(rank=1), 0), (LoRA(rank=1), 1), (LoRA(rank=4), 0), (LoRA(rank=4), 1)]
    """
    record, _ = find_task(task)
    if not isinstance(grid, Mapping | None):
        raise ValueError(f"grid must give values to options, such as {{'rank': [1, 4]}}, got {grid!r}")
    axes = {name: _values(name, values) for name, values in {**fixed, **(grid or {})}.items()}
    known = ("methods", *METHOD_OPTIONS, *RUN_OPTIONS, *record.options)
    for name in axes:
        one_of("an option of the grid", name, known)
    methods = axes.pop("methods", [None])
    methods = list(METHODS) if methods == [None] else methods
    every = some_seeds(seeds)
    if not every:
        raise ValueError("seeds must not be empty, got none")
    count = len(methods) * len(every)
    for values in axes.values():
        count *= len(values)
    whole_number("the number of runs", count, 1, MAX_RUNS)
    found: dict[str, RunSettings] = {}
    for method, *values in itertools.product(methods, *axes.values()):
        given = dict(zip(axes, values, strict=True))
        chosen = _method(method, {name: given.pop(name) for name in METHOD_OPTIONS if name in given})
        for seed in every:
            one = run_settings(task, chosen, seed=seed, **given)
            found.setdefault(one.to_code(), one)
    return list(found.values())


def _values(name: str, values: Any) -> list[Any]:
    """The values of an option; one alone is a list of it."""
    one = isinstance(values, str | Mapping) or (name in _LISTS and isinstance(values, tuple))
    found = listed(name, values, "a list of values") if isinstance(values, Iterable) and not one else [values]
    if not found:
        raise ValueError(f"{name} must have at least one value, got none")
    return found


def _method(method: Any, options: Mapping[str, Any]) -> Method:
    """The method with those of the options that it has."""
    if isinstance(method, str):
        return make_method(method, **options)
    if not isinstance(method, Method):
        raise ValueError(f"methods must be names or methods such as LoRA(rank=8), got {method!r}")
    own = {f.name for f in fields(method)}
    return replace(method, **{name: value for name, value in options.items() if name in own})


def varied(runs: Sequence[RunSettings]) -> list[str]:
    """Which of a run's own options, beside its method and seed, differ among the runs.

    >>> varied(grid_settings("digits", {"methods": "lora", "learning_rate": [1e-3, 1e-2]}, 1))
    ['learning_rate']
    """
    names = [name for name in RUN_OPTIONS if len({getattr(one, name) for one in runs}) > 1]
    options = [name for name in (runs[0].options if runs else ()) if len({str(one.options[name]) for one in runs}) > 1]
    return names + options

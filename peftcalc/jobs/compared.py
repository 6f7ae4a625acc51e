"""`pc.compare`: the comparison of `lab`, and its runs kept in this user's history."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from peftcalc.jobs.history.database import HistoryError
from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import KeptRun, new_run
from peftcalc.lab import comparison
from peftcalc.lab.comparison import Comparison
from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.runs.kept_race import without_private
from peftcalc.lab.sweeps.elsewhere import Elsewhere
from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.sweeps.kept_sweep import SWEEP, sweep_link
from peftcalc.lab.tasks.catalogue import find_task
from peftcalc.methods import Method
from peftcalc.units import for_json

PATIENCE = 5.0
"""Seconds that a comparison waits at its end for the history."""


def compare(
    task: str = "names",
    methods: Iterable[Method | str] | None = None,
    seeds: int | Sequence[int] = 3,
    progress: Callable[[Method, int, StepRecord], None] | None = None,
    engine: Elsewhere | None = None,
    keep: bool = True,
    **settings: Any,
) -> Comparison:
    """Train every method with every seed on a task.

    Args:
        task: as for `finetune`.
        methods: methods or their names; None for the five with rank 8.
        seeds: how many, counted from 0, or which.
        progress: called with the method, the seed and each record. Small models that fit are trained stacked in one
            graph: their records come in turn, without samples and matrices' changes.
        engine: whose workers train them, here or on other machines; None for this process.
        keep: whether what it came to goes into the history (`python -m peftcalc history`), from which the app shows it
            again; `PEFTCALC_HISTORY=off` keeps nothing ever.
        settings: the other arguments of `finetune`, the same for every run.

    Raises:
        ValueError: bad input, before anything is trained.

    >>> from peftcalc import DoRA, LoRA
    >>> result = compare("magnitude", [LoRA(rank=1), DoRA(rank=1)], seeds=2, steps=100, keep=False)
    >>> result.paired(DoRA(rank=1), LoRA(rank=1)).better
    2
    """
    run = new_run(SWEEP, "compare", "", {}, sweep_link())
    found = comparison.compare(task, methods, seeds, progress, engine, **settings)
    history = History.here() if keep else None
    if history is not None:
        results = _results(found, settings)
        about = {"task": found.task, **without_private(found.task, settings)}
        title = f"{find_task(found.task)[0].title}: {_listed(found)}: {len(results)} runs"
        _keep(history, replace(run, title=title, settings=for_json(about), results=results, ended=time.time()))
    return found


def _keep(history: History, run: KeptRun) -> None:
    """Into the file; where that cannot be, a warning says why, and the comparison is returned all the same."""
    try:
        history.keep(replace(run, state="done")).result(PATIENCE)
    except (TimeoutError, HistoryError):
        said = history.problem or "The history cannot be written now."
        warnings.warn(f"this comparison is not kept: {said}", stacklevel=3)
    finally:
        history.close()


def _results(found: Comparison, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each run as a sweep's finished run, without its curve and without what was given for it alone."""
    public = without_private(found.task, settings)
    return [
        FinishedRun(
            run_settings(found.task, run.method, seed=run.seed, **public),
            losses=(),
            **{f.name: getattr(run, f.name) for f in fields(run) if f.name not in ("method", "seed")},
        ).as_dict()
        for run in found.runs
    ]


def _listed(found: Comparison) -> str:
    """The methods, and how many seeds."""
    methods = dict.fromkeys(repr(run.method) for run in found.runs)
    return f"{', '.join(methods)}, {len({run.seed for run in found.runs})} seeds"

"""A sweep: every run of a grid, told as it finishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.sweeps.elsewhere import Elsewhere, trainer
from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.sweeps.grid import grid_settings
from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.lazy import Drawn

Progress = Callable[[int, int], None]


def sweep(
    task: str = "digits",
    grid: Mapping[str, Any] | None = None,
    seeds: int | Iterable[int] = 3,
    *,
    finished: Iterable[FinishedRun] = (),
    progress: Progress | None = None,
    engine: Elsewhere | None = None,
    **fixed: Any,
) -> Sweep:
    """Train every combination of a grid with every seed; iterate the result for its finished runs.

    Small models that fit are trained stacked in one graph, the others one by one, with the same results. Stopping is
    ceasing to iterate.

    Args:
        task: as for `finetune`.
        grid: option → values: `methods` (names or methods), options of a method such as `rank`, `alpha`, `init`, of a
            run such as `learning_rate`, `steps`, or of the task.
        seeds: how many, counted from 0, or which.
        finished: runs that are known already, and are not trained again.
        progress: called with the steps that have been made and those that there are, over all runs.
        engine: whose workers train them, here or on other machines; None for this process.
        fixed: options with one value.

    Yields:
        A `FinishedRun` each, in no particular order.

    Raises:
        ValueError: bad input, at the call and not only when iterated.

    >>> runs = sweep("rank", {"methods": ["lora", "dora"], "rank": [1, 4]}, seeds=2, steps=20)
    >>> len(list(runs))
    8
    """
    asked, finished = grid_settings(task, grid, seeds, **fixed), tuple(finished)
    known = {run.settings.to_code() for run in finished}
    return Sweep(_trained([one for one in asked if one.to_code() not in known], progress, engine), finished)


class Sweep(Drawn, Iterator[FinishedRun]):
    """A sweep that goes on as far as it is iterated, and draws what has finished so far."""

    def __init__(self, runs: Iterator[FinishedRun], known: Iterable[FinishedRun] = ()) -> None:
        self._runs, self._finished = runs, list(known)

    @property
    def results(self) -> SweepResults:
        """The runs that were known and those that have finished: `.cells()`, `.pareto()`, `.to_frame()`."""
        return SweepResults.of(self._finished)

    def __next__(self) -> FinishedRun:
        run = next(self._runs)
        self._finished.append(run)
        return run


def _trained(asked: list[RunSettings], progress: Progress | None, engine: Elsewhere | None) -> Iterator[FinishedRun]:
    made, every = 0, sum(one.steps for one in asked)

    def seen(_: int, record: Any) -> None:
        nonlocal made
        made += record.steps - record.step + 1 if record.stopped else bool(record.step)
        if progress is not None:
            progress(made, every)

    for place, records in trainer(engine)(asked, seen):
        yield FinishedRun.of(asked[place], records)

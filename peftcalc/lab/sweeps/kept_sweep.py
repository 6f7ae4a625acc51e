"""A sweep as something to keep: its kind, its title, what it came to, and the link that shows it. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.sweeps.plan import SweepPlan, SweepTold
from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.methods import METHODS

SWEEP = "sweep"
"""The kind of what is kept: its results are finished runs without their curves."""
SECTION = "a sweep"
"""Of the Train page, which shows it."""


@dataclass(frozen=True)
class KeepableSweep:
    """A page's sweep on its way into the history; a job's records are its looks."""

    plan: SweepPlan

    kind = SWEEP

    @property
    def title(self) -> str:
        return self.plan.title

    @property
    def settings(self) -> dict[str, Any]:
        return self.plan.as_dict()

    @property
    def link(self) -> str:
        return sweep_link(self.plan)

    def keepable(self, records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """All of them: a sweep's tasks know nothing of a visitor's own."""
        return list(records)

    def results(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Every run that has come to its end, as `results_of` reads it."""
        told = SweepTold(self.plan)
        told.read(records)
        return [one.as_dict() for one in told.results.runs]


def results_of(
    settings: Mapping[str, Any], results: Sequence[Mapping[str, Any]], records: Callable[[], list[dict[str, Any]]]
) -> SweepResults:
    """The runs of a kept sweep or comparison that have come to their end.

    Args:
        settings, results: as they are kept.
        records: called where there are no results, of a sweep that was cut off: finished runs, or a page's looks.

    Raises:
        ValueError: there are none, or they are of another version.
    """
    told = list(results) or records()
    if told and "method" not in told[0]:
        looks = SweepTold(SweepPlan.from_dict(settings))
        looks.read(told)
        found = looks.results
    else:
        found = SweepResults(tuple(FinishedRun.from_dict(dict(values)) for values in told))
    if not found.runs:
        raise ValueError("It ended before a run was through.")
    return found


def sweep_link(plan: SweepPlan | None = None) -> str:
    """The address, from the app's root, that shows a kept sweep, with the controls at it; `{id}` is where its id goes.

    >>> sweep_link()
    '/train?section=a+sweep&run={id}'
    >>> sweep_link(SweepPlan("rank", ("lora",), (1, 2), seeds=2)).partition("grid-methods")[0]
    '/train?section=a+sweep&grid-task=An+update+of+known+rank&'
    """
    given: dict[str, Any] = {"section": SECTION}
    if plan is not None:
        given |= {
            "grid-task": TASKS[plan.task].title,
            "grid-methods": [METHODS[name].label for name in plan.methods],
            "grid-ranks": plan.ranks,
            "grid-rates": [f"{rate:g}" for rate in plan.learning_rates],
            "grid-alpha": f"{plan.alpha:g}",
            "grid-seeds": plan.seeds,
            "grid-steps": plan.steps,
            **{f"grid-{name}": value for name, value in plan.options.items()},
        }
    return f"/train?{urlencode(given, doseq=True)}&run={{id}}"

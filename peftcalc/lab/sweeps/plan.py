"""A sweep that a page asks for: plain data that workers are given, and what they have told so far. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from peftcalc.checks import one_of, whole_number
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.stacked.which import STACKABLE_TASKS
from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.sweeps.grid import grid_settings
from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.methods import METHODS, LoRA

SWEPT_TASKS = tuple(name for name in STACKABLE_TASKS if name in TASKS)
"""Those that pages offer: the others belong to one experiment."""
MOST_RUNS, MOST_STEPS = 160, 24_000
"""Of one sweep on a page; the steps of all its runs together."""
LEAST_AT_ONCE = 8
"""Runs in one graph: with fewer a step is mostly overhead, with many more nothing is told for long."""


@dataclass(frozen=True)
class SweepPlan:
    """Every combination of methods, ranks and learning rates, each with the same seeds, on a small task.

    Args:
        task: one of those whose models are stacked in one graph.
        methods, ranks: names and numbers, at least one of each.
        learning_rates: none for each method's own.
        alpha: of every adapter, so that the update's length at the start does not grow with the rank.
        seeds: how many, counted from 0.
        steps: of every run.
        options: the task's own.

    Raises:
        ValueError: a value out of its range, or more runs or steps than a page may ask for.

    >>> plan = SweepPlan("digits", ("full", "lora"), ranks=(1, 4), seeds=2)
    >>> len(plan.runs()), plan.title
    (6, 'Handwritten digits, rotated: Full, LoRA, ranks 1 and 4, 100 steps, 2 seeds: 6 runs')
    """

    task: str = "digits"
    methods: tuple[str, ...] = ("full", "lora", "dora")
    ranks: tuple[int, ...] = (1, 4, 16)
    learning_rates: tuple[float, ...] = ()
    alpha: float = 16
    seeds: int = 3
    steps: int = 100
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("the task of a sweep", self.task, SWEPT_TASKS)
        if not self.methods or not self.ranks:
            raise ValueError("choose at least one method and one rank")
        runs = len(self.runs())
        whole_number("the number of runs", runs, 1, MOST_RUNS)
        if runs * self.steps > MOST_STEPS:
            raise ValueError(
                f"the steps of all runs must be at most {MOST_STEPS:,} together, got {runs} runs of {self.steps}: "
                f"{MOST_STEPS // runs} each would do"
            )

    def runs(self) -> list[RunSettings]:
        """The settings of every run, those of the first seed first."""
        grid = {"methods": list(self.methods), "rank": list(self.ranks)}
        rates = {"learning_rate": list(self.learning_rates)} if self.learning_rates else {}
        fixed = {"alpha": self.alpha, "steps": self.steps, **self.options}
        found = grid_settings(self.task, {**grid, **rates}, self.seeds, **fixed)
        return sorted(found, key=lambda one: one.seed)

    def named(self) -> dict[str, RunSettings]:
        """The runs by the names that their records carry."""
        return {str(number): one for number, one in enumerate(self.runs())}

    def parts(self, workers: int) -> list[dict[str, Any]]:
        """The runs shared out to at most so many workers, in groups that are trained one after the other.

        >>> [[len(group) for group in part["groups"]] for part in SweepPlan(seeds=4).parts(2)]
        [[7, 7], [7, 7]]
        """
        named = list(self.named().items())
        size = max(LEAST_AT_ONCE, -(-len(named) // (4 * workers)))
        count = -(-len(named) // size)
        groups = [[_arguments(*one) for one in named[number::count]] for number in range(count)]
        return [{"groups": groups[worker::workers], "peaks": True} for worker in range(min(workers, count))]

    @property
    def title(self) -> str:
        """One line for a list."""
        options = "".join(f", {value}" for value in self.runs()[0].options.values() if isinstance(value, str) and value)
        methods = ", ".join(METHODS[name].label for name in self.methods)
        ranks = f"{'ranks' if len(self.ranks) > 1 else 'rank'} {_listed(self.ranks)}"
        rates = f", rates {_listed(self.learning_rates)}" if self.learning_rates else ""
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else "1 seed"
        record = self.runs()[0].record
        return (
            f"{record.title}{options}: {methods}, {ranks}{rates}, {self.steps} steps, {seeds}: {len(self.runs())} runs"
        )

    def to_code(self) -> str:
        """Python that repeats the sweep.

        >>> print(SweepPlan("rank", ("lora",), (1, 2), seeds=2, steps=50).to_code())
        import peftcalc as pc
        <BLANKLINE>
        sweep = pc.sweep(
            "rank",
            {"methods": ["lora"], "rank": [1, 2]},
            seeds=2,
            alpha=16,
            steps=50,
        )
        for run in sweep:
            print(run.method, run.seed, run.validation)
        print(sweep.results.to_frame())
        sweep.plot()
        """
        rates = f', "learning_rate": {list(self.learning_rates)}' if self.learning_rates else ""
        methods = ", ".join(f'"{name}"' for name in self.methods)
        options = "".join(f"    {name}={value!r},\n" for name, value in self.options.items())
        return (
            f'import peftcalc as pc\n\nsweep = pc.sweep(\n    "{self.task}",\n'
            f'    {{"methods": [{methods}], "rank": {list(self.ranks)}{rates}}},\n    seeds={self.seeds},\n'
            f"    alpha={self.alpha:g},\n    steps={self.steps},\n{options})\n"
            "for run in sweep:\n    print(run.method, run.seed, run.validation)\n"
            "print(sweep.results.to_frame())\nsweep.plot()"
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it; `from_dict` reads it."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> SweepPlan:
        """The plan that `as_dict` wrote.

        Raises:
            ValueError: it is none.

        >>> SweepPlan.from_dict(SweepPlan("rank", seeds=1).as_dict()) == SweepPlan("rank", seeds=1)
        True
        """
        lists = ("methods", "ranks", "learning_rates")
        try:
            return SweepPlan(**{**values, **{name: tuple(values[name]) for name in lists}})
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is not a sweep's plan: {error!r}") from None


class SweepTold:
    """What the workers have told of a sweep.

    >>> told = SweepTold(SweepPlan("rank", ("lora",), (1,), seeds=1, steps=9))
    >>> told.read([{"run": "0", "step": 9, "validation": 0.5, "metrics": {}, "trainable": 3}])
    >>> [run.validation for run in told.results.runs]
    [0.5]
    """

    def __init__(self, plan: SweepPlan) -> None:
        self.plan, self._settings = plan, plan.named()
        self._looks: dict[str, list[Mapping[str, Any]]] = {}
        self._ended: dict[str, FinishedRun] = {}
        self._results: SweepResults | None = None
        self._read = 0

    def read(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Take in what is new in a job's growing list of records."""
        for message in messages[self._read :]:
            name = message["run"]
            looks = self._looks.setdefault(name, [])
            looks.append(message)
            if message.get("stopped") or message["step"] == self._settings[name].steps:
                self._ended[name] = _finished(self._settings[name], looks)
                self._results = None
        self._read = max(self._read, len(messages))

    @property
    def results(self) -> SweepResults:
        """The runs that have ended; the same object until one more has."""
        if self._results is None:
            self._results = SweepResults(tuple(self._ended.values()))
        return self._results


def _finished(settings: RunSettings, looks: Sequence[Mapping[str, Any]]) -> FinishedRun:
    last, before = looks[-1], looks[0]["validation"]
    stopped, after = last.get("stopped"), last["validation"]
    return FinishedRun(
        settings,
        losses=(),
        before=math.nan if before is None else before,
        validation=math.inf if stopped or after is None else after,
        metrics=next((look["metrics"] for look in reversed(looks) if look["validation"] is not None), {}),
        trainable=last.get("trainable", 0),
        peak_bytes=last.get("peak_bytes", 0),
        seconds=last.get("seconds", 0.0),
        stopped=stopped,
    )


def _arguments(name: str, one: RunSettings) -> dict[str, Any]:
    """A run as a worker is given it: arguments of `finetune`, the method as its name with its options."""
    method = one.method
    own = {f.name: getattr(method, f.name) for f in fields(method)} if isinstance(method, LoRA) else {}
    default = type(method)()
    chosen = {key: value for key, value in own.items() if value != getattr(default, key)}
    run = {"task": one.task, "seed": one.seed, "steps": one.steps, "learning_rate": one.learning_rate}
    return {"run": name, "method": method.name, **chosen, **run, **one.options}


def _listed(values: Iterable[float]) -> str:
    """1, 4 and 16

    >>> _listed((0.001, 0.01))
    '0.001 and 0.01'
    """
    *first, last = [f"{value:g}" for value in values]
    return f"{', '.join(first)} and {last}" if first else last

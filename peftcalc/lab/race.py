"""A race: several methods on one task, side by side, once for each seed. No torch here: pages plan, workers run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from peftcalc.checks import one_of, whole_number
from peftcalc.lab.run_settings import RunSettings, option_code, run_settings
from peftcalc.lab.tasks.catalogue import find_task
from peftcalc.methods import METHODS, Method, make_method

MAX_SEEDS = 10
_COSTS = {"full": 1.0, "lora": 1.0, "dora": 1.2, "qlora": 1.6, "qdora": 1.7}
"""Rough time a step by method, to share the runs out evenly."""
WIDE_TABLES = 'pd.set_option("display.max_columns", None, "display.width", 160)'
"""A line of code, so that a printed table shows all its columns."""


@dataclass(frozen=True)
class Race:
    """What is compared on what; None stands for the task's own default.

    Args:
        task: a task's name.
        methods: one to five method names.
        rank, alpha, dropout: of every adapter.
        learning_rate: the same for every method, or each method's own.
        seeds: each method runs once with each.
        options: the task's own options.

    Raises:
        ValueError: a value out of its range, with the value and the range.

    >>> race = Race("names", methods=("lora", "dora"), seeds=(0, 1))
    >>> [run["run"] for run in race.runs()]
    ['lora-0', 'lora-1', 'dora-0', 'dora-1']
    """

    task: str = "names"
    methods: tuple[str, ...] = tuple(METHODS)
    rank: int = 8
    alpha: float = 16
    dropout: float = 0.0
    learning_rate: float | None = None
    weight_decay: float = 0.0
    steps: int | None = None
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.methods:
            raise ValueError("choose at least one method")
        for name in self.methods:
            one_of("method", name, METHODS)
        whole_number("number of seeds", len(self.seeds), 1, MAX_SEEDS)
        for name in self.methods:
            self.settings(name, self.seeds[0])

    def method(self, name: str) -> Method:
        """One of its methods, with rank, alpha and dropout."""
        return make_method(name, rank=self.rank, alpha=self.alpha, dropout=self.dropout)

    def settings(self, name: str, seed: int) -> RunSettings:
        """All settings of one run, the task's defaults filled in."""
        return run_settings(
            self.task,
            self.method(name),
            steps=self.steps,
            seed=seed,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            device=self.device,
            **self.options,
        )

    def runs(self) -> list[dict[str, Any]]:
        """The parameters of each run for the job kind "finetune"."""
        shared = {
            "task": self.task,
            "rank": self.rank,
            "alpha": self.alpha,
            "dropout": self.dropout,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "steps": self.steps,
            "device": self.device,
            **self.options,
        }
        return [
            {"run": f"{name}-{seed}", "method": name, "seed": seed, **shared}
            for name in self.methods
            for seed in self.seeds
        ]

    def parts(self, workers: int, watch: str | None = None, private: str = "") -> list[dict[str, Any]]:
        """The runs shared out to at most so many workers, each with about as much to do.

        Args:
            workers: that share the runs.
            watch: a matrix to be looked at while it learns, "" for the task's own choice; None for none.
            private: what the task's private option is given; a race does not hold it, so that nothing tells it.

        >>> [[run["run"] for run in part["runs"]] for part in Race(methods=("lora", "qlora", "qdora")).parts(2)]
        [['qdora-0'], ['qlora-0', 'lora-0']]
        """
        runs = sorted(self.runs(), key=lambda run: -_COSTS[run["method"]])
        shares: list[list[dict[str, Any]]] = [[] for _ in range(min(workers, len(runs)))]
        for run in runs:
            min(shares, key=lambda share: sum(_COSTS[one["method"]] for one in share)).append(run)
        looks = {} if watch is None else {"watch": watch}
        own = {find_task(self.task)[0].private: private} if private else {}
        return [{"runs": [run | own for run in share], **looks} for share in shares]

    def seconds(self, paces: Mapping[str, float], workers: int) -> float:
        """About how long the race takes when nobody waits: that of the worker with the most to do.

        Args:
            paces: seconds a step by method name, from a run on the same task; without one, the slowest of them.
            workers: that share the runs.

        >>> Race(methods=("lora", "qlora"), steps=100).seconds({"lora": 0.05, "qlora": 0.08}, workers=2)
        8.0
        """
        steps = self.settings(self.methods[0], self.seeds[0]).steps
        slowest = max(paces.values())
        shares = [[paces.get(run["method"], slowest) for run in part["runs"]] for part in self.parts(workers)]
        return steps * max(sum(share) for share in shares)

    def to_code(self) -> str:
        """Python that repeats the race.

        >>> print(Race(methods=("full", "lora"), steps=50).to_code())
        import pandas as pd
        import peftcalc as pc
        <BLANKLINE>
        pd.set_option("display.max_columns", None, "display.width", 160)
        comparison = pc.compare(
            task="names",
            methods=[pc.Full(), pc.LoRA(rank=8)],
            seeds=[0],
            steps=50,
            country="Japan",
        )
        print(comparison.summary())
        """
        methods = ", ".join(f"pc.{self.method(name)!r}" for name in self.methods)
        given = {
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay or None,
            "device": None if self.device == "auto" else self.device,
            **find_task(self.task)[0].options,
            **self.options,
        }
        lines = [
            f'task="{self.task}"',
            f"methods=[{methods}]",
            f"seeds={list(self.seeds)}",
            *(f"{name}={option_code(self.task, name, value)}" for name, value in given.items() if value is not None),
        ]
        arguments = "".join(f"    {line},\n" for line in lines)
        return (
            f"import pandas as pd\nimport peftcalc as pc\n\n{WIDE_TABLES}\n"
            f"comparison = pc.compare(\n{arguments})\nprint(comparison.summary())"
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it; `Race.from_dict` reads it."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Race:
        """The race that `as_dict` wrote."""
        return Race(**{**values, "methods": tuple(values["methods"]), "seeds": tuple(values["seeds"])})

"""Everything that decides a training run, checked, in one record that repeats it. No torch here: pages hold it, too."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from peftcalc.checks import listed, one_of, positive, whole_number
from peftcalc.lab.tasks.catalogue import find_task
from peftcalc.lab.tasks.task import Task
from peftcalc.methods import Method, make_method
from peftcalc.units import python_literal

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class RunSettings:
    """A task, a method, and how it is trained. Made by `run_settings`, which fills in the task's defaults."""

    task: str
    method: Method
    steps: int
    seed: int
    learning_rate: float
    weight_decay: float
    batch: int
    device: str
    dtype: str
    evaluations: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> Task:
        """What is known of the task."""
        return find_task(self.task)[0]

    def to_code(self) -> str:
        """Python that repeats this run.

        >>> from peftcalc import LoRA
        >>> print(run_settings("digits", LoRA(rank=4), steps=100).to_code())
        import peftcalc as pc
        <BLANKLINE>
        run = pc.finetune(
            task="digits",
            method=pc.LoRA(rank=4),
            steps=100,
            seed=0,
            learning_rate=0.01,
            batch=64,
            shift="rotated",
        )
        for step in run:
            print(step.step, step.loss, step.validation, step.metrics)
        """
        lines = [
            f'task="{self.task}"',
            f"method=pc.{self.method!r}",
            f"steps={self.steps}",
            f"seed={self.seed}",
            f"learning_rate={self.learning_rate!r}",
            *([f"weight_decay={self.weight_decay!r}"] if self.weight_decay else []),
            f"batch={self.batch}",
            *([f'device="{self.device}"'] if self.device != "auto" else []),
            *([f'dtype="{self.dtype}"'] if self.dtype != self.record.dtype else []),
            *([f"evaluations={self.evaluations}"] if self.evaluations != self.record.evaluations else []),
            *(f"{name}={option_code(self.task, name, value)}" for name, value in self.options.items()),
        ]
        arguments = "".join(f"    {line},\n" for line in lines)
        return (
            f"import peftcalc as pc\n\nrun = pc.finetune(\n{arguments})\n"
            "for step in run:\n    print(step.step, step.loss, step.validation, step.metrics)"
        )


def run_settings(task: str = "names", method: Method | str = "lora", **asked: Any) -> RunSettings:
    """The settings of a run. Arguments as for `peftcalc.finetune`; what is left out or None is the task's default.

    >>> run_settings("digits", "dora").learning_rate
    0.01

    Raises:
        ValueError: a value out of its range, with the value and the range.
    """
    record, short = find_task(task)
    chosen = make_method(method) if isinstance(method, str) else method
    if not isinstance(chosen, Method):
        raise ValueError(f"method must be a method such as LoRA(rank=8), got {chosen!r}")

    def given(name: str, default: Any) -> Any:
        value = asked.pop(name, None)
        return default if value is None else value

    settings = RunSettings(
        task=record.name,
        method=chosen,
        steps=whole_number("steps", given("steps", record.steps), 1, 100_000),
        seed=whole_number("seed", given("seed", 0), 0, 2**31 - 1),
        learning_rate=positive("learning_rate", given("learning_rate", record.learning_rates[chosen.name])),
        weight_decay=_not_negative("weight_decay", given("weight_decay", 0.0)),
        batch=whole_number("batch", given("batch", record.batch), 1, 4096),
        device=one_of("device", str(given("device", "auto")), DEVICES),
        dtype=one_of("dtype", str(given("dtype", record.dtype)).removeprefix("torch."), DTYPES),
        evaluations=whole_number("evaluations", given("evaluations", record.evaluations), 1, 1000),
    )
    return replace(settings, options=_options(record, {**short, **asked}))


def _options(task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """The task's own options with their defaults filled in."""
    for name in given:
        one_of(f"option of the task {task.name}", name, task.options)
    options = {**task.options, **given}
    for name, allowed in task.choices.items():
        one_of(name, options[name], allowed)
    return options


def option_code(task: str, name: str, value: Any) -> str:
    """A task's option as Python: a literal; of a text of one's own the file in which it may stand."""
    if name == find_task(task)[0].private:
        return 'open("my-text.txt", encoding="utf-8").read()'
    return python_literal(value)


def run_code(task: str, method: Method | str, **settings: Any) -> str:
    """Python that repeats a run: `run_settings(...).to_code()`."""
    return run_settings(task, method, **settings).to_code()


def some_seeds(seeds: int | Iterable[int]) -> list[Any]:
    """Which seeds: those that are given, or so many, counted from 0.

    >>> some_seeds(2), some_seeds([7])
    ([0, 1], [7])
    """
    if isinstance(seeds, int):
        return list(range(whole_number("seeds", seeds, 1, 1000)))
    return listed("seeds", seeds, "how many, or a list of whole numbers")


def _not_negative(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
    return value

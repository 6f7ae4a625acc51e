"""What is known of a task without torch; `Task.build` loads the base and the data."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peftcalc.checks import one_of
from peftcalc.lazy import explained

if TYPE_CHECKING:
    from peftcalc.lab.tasks.problem import Problem


@dataclass(frozen=True)
class Task:
    """What a task is: its base, its data, their sizes and sources, and how it is trained by default."""

    name: str
    title: str
    unit: str
    """Of the loss: "nats a character", "cross-entropy in nats", "relative squared error"."""
    base: str
    """What was pretrained, or what the base is."""
    data: str
    """What it is adapted to."""
    sizes: Mapping[str, int]
    sources: tuple[str, ...]
    steps: int
    batch: int
    learning_rates: Mapping[str, float]
    """Default learning rate of each method by name: the best of the grid in `scripts/tune_learning_rates.py`."""
    reason: str
    """Why these learning rates."""
    builder: str
    """What builds the task's `Problem`, as `module:name`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Its own settings with their defaults; the first one may follow the name, as in `names:Finland`."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What an option may be, where that is a list."""
    dtype: str = "float32"
    """Of the base, by default; "auto" is bfloat16 where the device computes in it, and else float32."""
    evaluations: int = 4
    """How often the held-out loss is measured after step 0, by default."""
    extra: bool = False
    """True when it needs what peftcalc does not bring: weights, a package, a text of one's own."""
    watched: str = ""
    """The matrix that is looked at while it learns, unless another is asked for; else the first."""
    private: str = ""
    """The option that holds a visitor's own words: never in a link, a log, a record or a stored answer."""

    def build(self, seed: int = 0, **options: Any) -> Problem:
        """Load the base and the data.

        Raises:
            ValueError: an unknown option, a value that the option cannot have, or a package that is not installed.
        """
        for name in options:
            one_of(f"option of the task {self.name}", name, self.options)
        module, kind = self.builder.split(":")
        settings = {**self.options, **options}
        for name, allowed in self.choices.items():
            one_of(name, settings[name], allowed)
        with explained(f"the task {self.name}"):
            return getattr(importlib.import_module(module), kind)(seed=seed, **settings)

"""A run that has come to its end, and a file of them: one line of JSON each, so that a sweep goes on. No torch here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings, run_settings
from peftcalc.lab.sweeps.grid import RUN_OPTIONS
from peftcalc.lazy import Drawn
from peftcalc.methods import METHODS, Method
from peftcalc.outside_files import read_bounded
from peftcalc.units import for_json

MAX_BYTES = 200_000_000
"""Of a sweep's file: 10,000 runs of 1,000 steps."""


@dataclass(frozen=True)
class FinishedRun(Drawn):
    """What one run of a sweep came to."""

    settings: RunSettings
    losses: tuple[float, ...]
    """Training loss of every step, the first one's first."""
    before: float
    """Held-out loss at step 0 (of a quantized base: after quantization)."""
    validation: float
    """Held-out loss at the end; infinite for a run that diverged."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Other held-out figures at the end, such as the accuracy."""
    trainable: int = 0
    peak_bytes: int = 0
    """Highest bytes of tensors alive during a step of this run alone."""
    seconds: float = 0.0
    """Training time; of a run that was stacked with others its share."""
    stopped: str | None = None

    @property
    def method(self) -> Method:
        return self.settings.method

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def learning_rate(self) -> float:
        return self.settings.learning_rate

    @staticmethod
    def of(settings: RunSettings, records: Sequence[StepRecord]) -> FinishedRun:
        """The end of a run that told these records."""
        looks = [record for record in records if record.validation is not None]
        last, before, after = records[-1], looks[0].validation, looks[-1].validation
        return FinishedRun(
            settings=settings,
            losses=tuple(record.loss for record in records if record.step),
            before=math.nan if before is None else before,
            validation=math.inf if last.stopped or after is None else after,
            metrics=looks[-1].metrics,
            trainable=last.trainable,
            peak_bytes=last.peak_bytes,
            seconds=last.seconds,
            stopped=last.stopped,
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it, the settings as names and values; `from_dict` reads it.

        >>> run = FinishedRun(run_settings("digits", "lora", seed=3), (2.0, 1.5), 2.5, 1.25)
        >>> FinishedRun.from_dict(run.as_dict()) == run
        True
        """
        figures = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "settings"}
        return for_json({**settings_as_dict(self.settings), **figures})

    @staticmethod
    def from_dict(values: dict[str, Any]) -> FinishedRun:
        """The run that `as_dict` wrote.

        Raises:
            ValueError: it is none of these.
        """
        try:
            settings = settings_from_dict(values)
            stopped = values["stopped"]
            return FinishedRun(
                settings,
                tuple(math.nan if loss is None else float(loss) for loss in values["losses"]),
                _number(values["before"]),
                math.inf if stopped else _number(values["validation"]),
                {str(name): float(value) for name, value in values["metrics"].items()},
                int(values["trainable"]),
                int(values["peak_bytes"]),
                float(values["seconds"]),
                stopped,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is not a finished run: {error!r}") from None


def settings_as_dict(one: RunSettings) -> dict[str, Any]:
    """Settings as names and values that JSON can hold."""
    method, default = one.method, type(one.method)()
    own = {f.name: getattr(method, f.name) for f in fields(method)}
    return {
        "task": one.task,
        "method": method.name,
        "method_options": {name: value for name, value in own.items() if value != getattr(default, name)},
        "seed": one.seed,
        **{name: getattr(one, name) for name in RUN_OPTIONS},
        "options": dict(one.options),
    }


def settings_from_dict(values: Mapping[str, Any]) -> RunSettings:
    """The settings that `settings_as_dict` wrote."""
    given = {name: values[name] for name in ("seed", *RUN_OPTIONS)}
    kind = METHODS[values["method"]]
    return run_settings(values["task"], kind(**values["method_options"]), **given, **values["options"])


def read_finished(path: Path) -> list[FinishedRun]:
    """The runs in a file of `line_of`'s lines; one that was cut off at the end of the file is left out.

    Raises:
        ValueError: a line before the last is not a finished run, or the file is too large.
    """
    lines = read_bounded(path, MAX_BYTES, path.name).splitlines()
    runs = []
    for number, line in enumerate(lines, 1):
        try:
            runs.append(FinishedRun.from_dict(json.loads(line)))
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise ValueError(f"line {number} of {path.name}: {error}") from None
    return runs


def line_of(run: FinishedRun) -> str:
    """One line of JSON."""
    return json.dumps(run.as_dict(), ensure_ascii=False) + "\n"


def write_finished(path: Path, runs: Iterable[FinishedRun]) -> None:
    """A file of these runs and nothing else."""
    path.write_text("".join(map(line_of, runs)), encoding="utf-8")


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)

"""Methods beside each other over several seeds: means with intervals, and differences within each seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftcalc.checks import listed
from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings, run_settings, some_seeds
from peftcalc.lab.sweeps.elsewhere import Elsewhere, trainer
from peftcalc.lazy import Drawn, explained
from peftcalc.methods import METHODS, Method, make_method

if TYPE_CHECKING:
    import pandas

# Student's t for a two-sided 95 % interval, by degrees of freedom; from 31 on the normal 1.96 is within 4 %.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval (Student's t)."""

    mean: float
    half_width: float
    """NaN for a single value, which says nothing about its spread, and where a run diverged."""
    count: int

    def __str__(self) -> str:
        spread = f" ± {self.half_width:.4f}" if math.isfinite(self.half_width) else ""
        return f"{self.mean:.4f}{spread} (n = {self.count})"


def interval(values: Sequence[float]) -> Interval:
    """Mean of the values and half the width of its 95 % interval.

    >>> print(interval([1.0, 2.0, 3.0]))
    2.0000 ± 2.4843 (n = 3)
    """
    if not values:
        raise ValueError("values must have at least one number, got none")
    mean, count = statistics.fmean(values), len(values)
    if count == 1 or not math.isfinite(mean):
        return Interval(mean, math.nan, count)
    factor = _T95[count - 2] if count - 2 < len(_T95) else 1.96
    return Interval(mean, factor * statistics.stdev(values) / math.sqrt(count), count)


@dataclass(frozen=True)
class RunResult:
    """What one run came to."""

    method: Method
    seed: int
    before: float
    """Held-out loss at step 0 (of a quantized base: after quantization)."""
    validation: float
    """Held-out loss at the end; infinite for a run that diverged."""
    metrics: dict[str, float]
    seconds: float
    peak_bytes: int
    trainable: int
    stopped: str | None


@dataclass(frozen=True)
class Paired:
    """`first − second` in held-out loss, seed by seed: what the seeds share falls out."""

    first: str
    second: str
    difference: Interval
    better: int
    """In how many seeds the first has the lower loss."""

    def __str__(self) -> str:
        spread = self.difference
        return f"{self.first} − {self.second}: {spread}, lower in {self.better} of {spread.count}"


@dataclass(frozen=True)
class Comparison(Drawn):
    """Runs of several methods with the same seeds on the same task."""

    task: str
    unit: str
    runs: tuple[RunResult, ...]

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods, in the order in which they were asked for."""
        return tuple(dict.fromkeys(run.method for run in self.runs))

    def of(self, method: Method) -> tuple[RunResult, ...]:
        """The runs of one method, by seed."""
        runs = tuple(run for run in self.runs if run.method == method)
        if not runs:
            raise ValueError(f"method must be one of {', '.join(map(repr, self.methods))}, got {method!r}")
        return runs

    def validation(self, method: Method) -> Interval:
        """Mean held-out loss of a method with its interval."""
        return interval([run.validation for run in self.of(method)])

    def paired(self, first: Method, second: Method) -> Paired:
        """The difference of two methods within each seed."""
        pairs = [one.validation - other.validation for one, other in zip(self.of(first), self.of(second), strict=True)]
        return Paired(repr(first), repr(second), interval(pairs), sum(pair < 0 for pair in pairs))

    def to_frame(self) -> pandas.DataFrame:
        """One row a run."""
        with explained("a comparison as a table"):
            import pandas

        rows = []
        for run in self.runs:
            figures = {key: getattr(run, key) for key in ("seed", "before", "validation")}
            rest = {key: getattr(run, key) for key in ("seconds", "peak_bytes", "trainable", "stopped")}
            rows.append({"method": run.method.label, "settings": repr(run.method), **figures, **run.metrics, **rest})
        return pandas.DataFrame(rows)

    def summary(self) -> pandas.DataFrame:
        """One row a method: means over seeds, half-widths of the 95 % intervals of the held-out loss."""
        with explained("a comparison as a table"):
            import pandas

        return pandas.DataFrame(self.summary_rows())

    def summary_rows(self) -> list[dict[str, Any]]:
        """What `summary` holds, as names and values: a page shows it without loading pandas, which takes a second."""
        rows = []
        for method in self.methods:
            runs, loss = self.of(method), self.validation(method)
            means = {name: statistics.fmean(run.metrics[name] for run in runs) for name in runs[0].metrics}
            rows.append(
                {
                    "method": method.label,
                    "settings": repr(method),
                    "trainable": runs[0].trainable,
                    "before": statistics.fmean(run.before for run in runs),
                    "validation": loss.mean,
                    "half_width": loss.half_width,
                    **means,
                    "seconds": statistics.fmean(run.seconds for run in runs),
                    "peak_bytes": max(run.peak_bytes for run in runs),
                    "seeds": len(runs),
                }
            )
        return rows


@explained("a comparison")
def compare(
    task: str = "names",
    methods: Iterable[Method | str] | None = None,
    seeds: int | Sequence[int] = 3,
    progress: Callable[[Method, int, StepRecord], None] | None = None,
    engine: Elsewhere | None = None,
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
        settings: the other arguments of `finetune`, the same for every run.

    Raises:
        ValueError: bad input, before anything is trained.

    >>> from peftcalc import DoRA, LoRA
    >>> result = compare("magnitude", [LoRA(rank=1), DoRA(rank=1)], seeds=2, steps=100)
    >>> result.paired(DoRA(rank=1), LoRA(rank=1)).better
    2
    """
    given = listed("methods", METHODS if methods is None else methods, "a list of methods")
    chosen = [make_method(m) if isinstance(m, str) else m for m in given]
    every = some_seeds(seeds)
    if not chosen or not every:
        raise ValueError(f"methods and seeds must not be empty, got {chosen} and {every}")
    asked = [(method, run_settings(task, method, seed=seed, **settings)) for method in chosen for seed in every]

    def seen(place: int, record: StepRecord) -> None:
        if progress is not None:
            progress(asked[place][0], asked[place][1].seed, record)

    told = dict(trainer(engine)([one for _, one in asked], seen))
    runs = tuple(_result(method, one, told[place]) for place, (method, one) in enumerate(asked))
    return Comparison(asked[0][1].task, asked[0][1].record.unit, runs)


def _result(method: Method, settings: RunSettings, records: list[StepRecord]) -> RunResult:
    """What a run that told these records came to."""
    evaluated = [record for record in records if record.validation is not None]
    record, before, after = records[-1], evaluated[0].validation, evaluated[-1].validation
    return RunResult(
        method=method,
        seed=settings.seed,
        before=math.nan if before is None else before,
        validation=math.inf if record.stopped or after is None else after,
        metrics=evaluated[-1].metrics,
        seconds=record.seconds,
        peak_bytes=record.peak_bytes,
        trainable=record.trainable,
        stopped=record.stopped,
    )

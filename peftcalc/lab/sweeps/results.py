"""The runs of a sweep together: means with intervals over the seeds, and which settings nothing else beats.

No torch here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from peftcalc.lab.comparison import Interval, interval
from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.sweeps.grid import varied
from peftcalc.lazy import Drawn, explained
from peftcalc.methods import Method

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Cell:
    """The runs that differ in their seeds alone."""

    method: Method
    options: dict[str, Any]
    """What else was varied in the sweep."""
    validation: Interval
    """Held-out loss at the end; infinite where a seed diverged."""
    metrics: dict[str, float]
    """Means over the seeds."""
    trainable: int
    peak_bytes: int
    seconds: float
    """Mean of a run."""
    diverged: int
    """Seeds whose run diverged."""

    @property
    def label(self) -> str:
        """`DoRA(rank=4), learning_rate 0.01`"""
        return ", ".join(
            [
                repr(self.method),
                *(
                    f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
                    for name, value in self.options.items()
                ),
            ]
        )


@dataclass(frozen=True)
class SweepResults(Drawn):
    """Finished runs of one sweep.

    >>> from peftcalc.lab.sweeps.sweep import sweep
    >>> results = SweepResults.of(sweep("rank", {"methods": ["full", "lora"], "rank": [1, 4]}, seeds=2, steps=200))
    >>> [cell.method for cell in results.pareto()]
    [LoRA(rank=1), LoRA(rank=4), Full()]
    """

    runs: tuple[FinishedRun, ...]

    @staticmethod
    def of(runs: Iterable[FinishedRun]) -> SweepResults:
        """These runs, in the order of their methods, options and seeds."""
        return SweepResults(tuple(runs))

    def cells(self) -> list[Cell]:
        """One for each combination, its seeds together, the lowest mean held-out loss first."""
        return list(self._cells)

    @cached_property
    def _cells(self) -> list[Cell]:
        """Computed once: a class looks at the same runs again and again."""
        names = varied([run.settings for run in self.runs])
        groups: dict[Any, list[FinishedRun]] = {}
        for run in self.runs:
            values = tuple(getattr(run.settings, name, run.settings.options.get(name)) for name in names)
            groups.setdefault((run.method, values), []).append(run)
        cells = [
            _cell(method, dict(zip(names, values, strict=True)), runs) for (method, values), runs in groups.items()
        ]
        return sorted(cells, key=lambda cell: cell.validation.mean)

    def pareto(self, cost: str = "trainable") -> list[Cell]:
        """The cells that no other beats in both: mean held-out loss, and `cost` ("trainable", "peak_bytes" or
        "seconds"); the cheapest first."""
        front: list[Cell] = []
        for cell in sorted(self._cells, key=lambda cell: (getattr(cell, cost), cell.validation.mean)):
            if math.isfinite(cell.validation.mean) and (not front or cell.validation.mean < front[-1].validation.mean):
                front.append(cell)
        return front

    def to_frame(self) -> pandas.DataFrame:
        """One row a cell."""
        with explained("a sweep as a table"):
            import pandas

        return pandas.DataFrame([cell_row(cell) for cell in self.cells()])


def cell_row(cell: Cell) -> dict[str, Any]:
    """A cell as names and numbers.

    `half_width` is that of the 95 % interval of the held-out loss, NaN for a single seed.
    """
    return {
        "method": cell.method.label,
        "settings": repr(cell.method),
        **cell.options,
        "validation": cell.validation.mean,
        "half_width": cell.validation.half_width,
        **cell.metrics,
        "trainable": cell.trainable,
        "peak_bytes": cell.peak_bytes,
        "seconds": cell.seconds,
        "seeds": cell.validation.count,
        "diverged": cell.diverged,
    }


def _cell(method: Method, options: dict[str, Any], runs: list[FinishedRun]) -> Cell:
    losses = [run.validation for run in runs]
    finite = all(math.isfinite(loss) for loss in losses)
    return Cell(
        method=method,
        options=options,
        validation=interval(losses) if finite else Interval(math.inf, math.nan, len(losses)),
        metrics={name: statistics.fmean(run.metrics[name] for run in runs) for name in runs[0].metrics},
        trainable=runs[0].trainable,
        peak_bytes=max(run.peak_bytes for run in runs),
        seconds=statistics.fmean(run.seconds for run in runs),
        diverged=sum(run.stopped is not None for run in runs),
    )

"""The data of three maps of learning, each a generator over stacked runs: a point of a map is a mean over seeds.

What they show: the best rate of each rank, how much a rank can learn by heart (Schulman et al. 2025, "LoRA Without
Regret"), and alpha as a knob of the rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.sweeps.results import Cell, SweepResults
from peftcalc.lab.sweeps.sweep import Progress, sweep
from peftcalc.methods import Full, LoRA, Method

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
RANKS = (1, 4, 16, 64)
IMAGES = (160, 640, 1280)


def rate_map(
    ranks: Iterable[int | None] = (*RANKS, None),
    rates: Sequence[float] = RATES,
    seeds: int = 4,
    task: str = "digits",
    steps: int = 200,
    progress: Progress | None = None,
) -> Iterator[Cell]:
    """Held-out loss over rate and rank (None: full fine-tuning): every rank's curve is a U.

    100 runs with the defaults. α stays 16, so that the update's length at the start does not grow with the rank.

    >>> cells = list(rate_map(ranks=[2], rates=[1e-3, 1e-2], seeds=2, task="rank", steps=30))
    >>> [(cell.method, cell.options, cell.validation.count) for cell in cells]
    [(LoRA(rank=2), {'learning_rate': 0.001}, 2), (LoRA(rank=2), {'learning_rate': 0.01}, 2)]
    """
    methods: list[Method] = [Full() if rank is None else LoRA(rank=rank) for rank in ranks]
    yield from _cells(task, methods, "learning_rate", rates, seeds, steps, progress)


def alpha_map(
    alphas: Sequence[float] = (1, 4, 16, 64),
    rates: Sequence[float] = RATES,
    rank: int = 8,
    seeds: int = 4,
    task: str = "digits",
    steps: int = 200,
    progress: Progress | None = None,
) -> Iterator[Cell]:
    """Held-out loss over rate and alpha: alpha is a knob of the rate, though not one to one.

    >>> len(list(alpha_map(alphas=[4, 16], rates=[1e-2], seeds=2, task="rank", steps=10)))
    2
    """
    yield from _cells(
        task, [LoRA(rank=rank, alpha=alpha) for alpha in alphas], "learning_rate", rates, seeds, steps, progress
    )


def capacity_map(
    ranks: Iterable[int | None] = (1, 2, 8, None),
    images: Sequence[int] = IMAGES,
    seeds: int = 2,
    steps: int = 1200,
    progress: Progress | None = None,
) -> Iterator[Cell]:
    """Share of random labels known at the end (`metrics["accuracy"]`) over the number of images and rank (None: full).

    24 runs with the defaults.

    >>> (cell,) = capacity_map(ranks=[1], images=[20], seeds=2, steps=20)
    >>> cell.method, cell.options, cell.metrics["accuracy"] > 0.2
    (LoRA(rank=1), {'images': 20}, True)
    """
    methods: list[Method] = [Full() if rank is None else LoRA(rank=rank) for rank in ranks]
    yield from _cells("labels", methods, "images", images, seeds, steps, progress)


def _cells(
    task: str,
    methods: list[Method],
    varied: str,
    values: Sequence[float],
    seeds: int,
    steps: int,
    progress: Progress | None,
) -> Iterator[Cell]:
    """Cells over methods and one other option, as their last seed finishes."""
    waiting: dict[tuple[Method, float], list[FinishedRun]] = {}
    for run in sweep(task, {"methods": methods, varied: list(values)}, seeds, steps=steps, progress=progress):
        value = getattr(run.settings, varied, run.settings.options.get(varied))
        group = waiting.setdefault((run.method, value), [])
        group.append(run)
        if len(group) == seeds:
            (cell,) = SweepResults(tuple(group)).cells()
            yield replace(cell, options={varied: value})

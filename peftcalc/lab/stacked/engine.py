"""Many runs to their ends: stacked where they can be, and one by one where not, with the same results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.stacked.stack import Stack
from peftcalc.lab.stacked.which import MOST_MODELS, stacks
from peftcalc.lab.training import Run

Seen = Callable[[int, StepRecord], None]


def train_all(
    asked: Sequence[RunSettings], seen: Seen | None = None, most: int = MOST_MODELS
) -> Iterator[tuple[int, list[StepRecord]]]:
    """Train every run, and tell each when it has ended, by its place in `asked` and with its records.

    Those of a run that was stacked have no samples and no matrices' changes.

    Args:
        asked: the runs.
        seen: called with each record as it comes, and the place of its run.
        most: models in a stack.

    >>> from peftcalc.lab.run_settings import run_settings
    >>> runs = [run_settings("rank", "lora", steps=9, seed=seed) for seed in range(2)]
    >>> [(place, len(records)) for place, records in train_all(runs)]
    [(0, 10), (1, 10)]
    """
    peaks: dict[Any, int] = {}
    for group in stacks(asked, most):
        records: dict[int, list[StepRecord]] = {index: [] for index in group}
        own = [asked[index] for index in group]
        told = (
            ([(0, record)] for record in Run(own[0]))
            if len(own) == 1
            else Stack(own, [peak_of(one, peaks) for one in own])
        )
        for step in told:
            for place, record in step:
                records[group[place]].append(record)
                if seen is not None:
                    seen(group[place], record)
        yield from sorted(records.items())


def peak_of(one: RunSettings, known: dict[Any, int]) -> int:
    """The highest bytes of tensors of this run by itself, which neither seed nor rates change: from its first steps."""
    key = (one.task, tuple(one.options.items()), one.method, one.batch)
    if key not in known:
        with Run(one) as run:
            *_, record = islice(run, 3)
        known[key] = record.peak_bytes
    return known[key]

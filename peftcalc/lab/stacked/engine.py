"""Many runs to their ends: stacked where they can be, and one by one where not, with the same results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.stacked.stack import Stack
from peftcalc.lab.stacked.which import MOST_MODELS, Seen, stacks
from peftcalc.lab.training import Run


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
        for step in steps_of([asked[index] for index in group], peaks):
            for place, record in step:
                records[group[place]].append(record)
                if seen is not None:
                    seen(group[place], record)
        yield from sorted(records.items())


def steps_of(group: Sequence[RunSettings], peaks: dict[Any, int]) -> Iterator[list[tuple[int, StepRecord]]]:
    """The steps of one group of `which.stacks`: the records of each, with the places of their runs in the group.

    Args:
        peaks: what is known of single runs, and becomes known.
    """
    if len(group) == 1:
        yield from ([(0, record)] for record in Run(group[0]))
    else:
        yield from Stack(group, [peak_of(one, peaks) for one in group])


def peak_of(one: RunSettings, known: dict[Any, int]) -> int:
    """The highest bytes of tensors of this run by itself, which neither seed nor rates change: from its first steps."""
    key = (one.task, tuple(one.options.items()), one.method, one.batch)
    if key not in known:
        with Run(one) as run:
            *_, record = islice(run, 3)
        known[key] = record.peak_bytes
    return known[key]

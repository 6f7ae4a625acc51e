"""Runs that are trained by an engine's workers, here or on other machines: shared out, and told as if they were here.

What carries them out is given, not known: `peftcalc.jobs` makes it. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from peftcalc.lab.record_json import record_from_json, record_to_json
from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.stacked.which import MOST_MODELS, Seen, stacks
from peftcalc.lab.sweeps.finished import settings_as_dict, settings_from_dict

Trained = Iterator[tuple[int, list[StepRecord]]]
KIND = "runs"
"""The name of `runs_job` in this room's kinds of work."""
SHARES = 2
"""Stacks for each worker: the slowest does not keep the others waiting long, and a worker that is lost loses half."""

_peaks: dict[Any, int] = {}


class Elsewhere(Protocol):
    """What carries out parts of work: `peftcalc.jobs.engines.batch.Batch`."""

    @property
    def workers(self) -> int:
        """How many parts run at the same time."""
        ...

    def carry_out(self, kind: str, parts: Sequence[dict[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Carry them all out, and yield the place of a part and new records of it as they come.

        Raises:
            ValueError: one of them has failed, or no worker is left.
        """
        ...


def train_elsewhere(engine: Elsewhere, asked: Sequence[RunSettings], seen: Seen | None = None) -> Trained:
    """As `stacked.engine.train_all`, by the workers of an engine: each run is told when it has ended."""
    groups = stacks(asked, most=min(MOST_MODELS, -(-len(asked) // (SHARES * engine.workers)) or 1))
    parts = [{"runs": [settings_as_dict(asked[index]) for index in group]} for group in groups]
    records: dict[int, list[StepRecord]] = {}
    for part, told in engine.carry_out(KIND, parts):
        for message in told:
            index, record = groups[part][int(message["run"])], record_from_json(message)
            records.setdefault(index, []).append(record)
            if seen is not None:
                seen(index, record)
            if record.stopped or record.step == record.steps:
                yield index, records.pop(index)


def trainer(engine: Elsewhere | None) -> Callable[[Sequence[RunSettings], Seen | None], Trained]:
    """What trains runs: `train_elsewhere` by an engine's workers, without one `stacked.engine.train_all`."""
    if engine is not None:
        return partial(train_elsewhere, engine)
    from peftcalc.lab.stacked.engine import train_all

    return train_all


def runs_job(parameters: dict[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """Runs that can be stacked, or one that cannot, as work for a queue.

    Args:
        parameters: `runs`, what `settings_as_dict` wrote of each.
        folder: unused; nothing is saved.

    Yields:
        Records as `record_to_json` writes them; the name of a run is its place.
    """
    from peftcalc.lab.stacked.engine import steps_of

    group = [settings_from_dict(one) for one in parameters["runs"]]
    steps = max(one.steps for one in group)
    for number, step in enumerate(steps_of(group, _peaks)):
        yield number, min(1.0, number / steps), [record_to_json(record, str(place)) for place, record in step]

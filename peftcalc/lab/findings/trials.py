"""Every experiment whose runs are stored: what is run for a seed, and what a run tells. One table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from peftcalc.lab.findings import characters, digits, merging, smollm2

Job = dict[str, Any]
"""What is run at a time and kept in the cache: a seed, or one run of it."""


def _whole(seed: int) -> list[Job]:
    return [{"seed": seed}]


@dataclass(frozen=True)
class Trial:
    """One experiment.

    Args:
        rows: what a job tells.
        seeds: how many there are.
        jobs: of a seed.
    """

    rows: Callable[[Job], list[Job]]
    seeds: int = 10
    jobs: Callable[[int], Iterable[Job]] = _whole


def _of(measure: Callable[[int], list[Job]]) -> Callable[[Job], list[Job]]:
    return lambda job: measure(job["seed"])


TRIALS: dict[str, Trial] = {
    "learning-rate": Trial(_of(digits.learning_rate)),
    "capacity": Trial(_of(digits.capacity)),
    "alpha": Trial(_of(digits.alpha)),
    "forgetting": Trial(_of(digits.forgetting)),
    "starts": Trial(_of(digits.starts)),
    "merging": Trial(_of(merging.merging), 20),
    "merging-layers": Trial(_of(merging.merging_layers), 10),
    "layers": Trial(characters.layer_rows, jobs=characters.layer_jobs),
    "loftq": Trial(characters.loftq_rows, 1),
    "smollm2-rates": Trial(smollm2.rate_rows, 3, smollm2.rate_jobs),
    "smollm2-merging": Trial(smollm2.merging_rows, 3, smollm2.merging_jobs),
}

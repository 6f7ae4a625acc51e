"""A sweep by a Dask scheduler's two workers beside the same by the local crew's two: `python benchmarks/engines.py`.

    python benchmarks/engines.py [--pairs 5] [--runs 20] [--steps 100]

Both engines are on this machine, their workers warm, each with one thread (`OMP_NUM_THREADS=1`, which both set for
their workers alike). The runs differ in their learning rate alone, not in their seed: a seed's base model is trained
once for each worker that meets it and kept, and which worker meets which seed is chance. In a pair the same sweep runs
on one engine and then on the other, in turns the other way round, since the machine has other work too. What counts is
the median of the pairs' ratios, of the wall clock's time and of the processor time of all processes: this one, the
workers, and Dask's scheduler and nannies. On a machine that is busy with other work the wall clock's ratio says little.
Printed beside it: how long a job takes from its submission to its first record; and at the end, how long after the
scheduler is killed in the middle of a sweep the sweep has ended with a sentence (the issue's bar: a second).
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from peftcalc.jobs.engines.addresses import address
from peftcalc.jobs.engines.batch import Batch, batch
from peftcalc.lab.sweeps.sweep import sweep
from peftcalc.methods import LoRA

sys.path.insert(0, str(Path(__file__).parent))
from served_app import below, process_seconds

BAR, TOLD = 1.1, 1.0
WORKERS = 2
ROOMS = ("peftcalc.lab.work",)
NAMES = {"crew": "crew", "local": "Dask"}
TITLES = ("wall", "first record", "CPU: workers", "Dask's others", "this process")


@dataclass(frozen=True)
class Taken:
    """What one sweep took, in seconds; the last three of processor time."""

    wall: float
    first_record: float
    workers: float
    others: float
    this_process: float

    @property
    def processor(self) -> float:
        return self.workers + self.others + self.this_process


class Measured:
    """An engine and its processes: those that are below this one since it was started."""

    def __init__(self, engine: Batch, before: set[int]) -> None:
        self.engine = engine
        self.processes = set(below(os.getpid())) - before

    def told_after(self, runs: int, steps: int) -> tuple[float, str]:
        """Seconds from the kill of the scheduler, with half of the runs done, to the sentence; and the sentence."""
        scheduler = next(one for one in self.processes if "scheduler" in Path(f"/proc/{one}/cmdline").read_text())
        killed = 0.0

        def kill(made: int, every: int) -> None:
            nonlocal killed
            if made > every / 2 and not killed:
                os.kill(scheduler, signal.SIGKILL)
                killed = time.perf_counter()

        try:
            list(sweep("digits", _grid(runs, steps), 1, progress=kill, engine=self.engine))
        except ValueError as error:
            return time.perf_counter() - killed, str(error)
        raise RuntimeError("the sweep went on without its scheduler")

    def sweep(self, runs: int, steps: int) -> Taken:
        """Runs that are not stacked (dropout), so that each is a part of its own."""
        workers = set(self.engine.queue.process_ids)
        groups = workers, self.processes - workers, {os.getpid()}
        before = [sum(map(process_seconds, group)) for group in groups]
        first, begun = 0.0, time.perf_counter()

        def seen(made: int, every: int) -> None:
            nonlocal first
            first = first or time.perf_counter() - begun

        count = sum(1 for _ in sweep("digits", _grid(runs, steps), 1, progress=seen, engine=self.engine))
        assert count == runs
        wall = time.perf_counter() - begun
        after = [sum(map(process_seconds, group)) for group in groups]
        return Taken(wall, first, *(late - early for late, early in zip(after, before, strict=True)))


def _grid(runs: int, steps: int) -> dict[str, Any]:
    """Runs that differ in their learning rate alone."""
    rates = [0.001 * (1 + place / runs) for place in range(runs)]
    return {"methods": [LoRA(rank=4, dropout=0.1)], "steps": steps, "learning_rate": rates}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--runs", type=int, default=20, help="in a sweep")
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    taken: dict[str, list[Taken]] = {kind: [] for kind in NAMES}
    engines: dict[str, Measured] = {}
    with ExitStack() as stack:
        for kind in NAMES:
            before = set(below(os.getpid()))
            opened = stack.enter_context(batch(address(f"{kind}:{WORKERS}"), ROOMS, lambda sentence: None))
            engines[kind] = Measured(opened, before)
            engines[kind].sweep(WORKERS * 2, 2)  # what is loaded at first use
        for pair in range(asked.pairs):
            for kind in list(engines)[:: -1 if pair % 2 else 1]:
                taken[kind].append(engines[kind].sweep(asked.runs, asked.steps))
        late, sentence = engines["local"].told_after(asked.runs, asked.steps)
    print(f"{asked.runs} runs of {asked.steps} steps, {WORKERS} workers, {asked.pairs} pairs; medians, s\n")
    print(f"{'':8}" + "".join(f"{title:>18}" for title in TITLES))
    for kind, name in NAMES.items():
        medians = [statistics.median(getattr(one, field.name) for one in taken[kind]) for field in fields(Taken)]
        print(f"{name:8}" + "".join(f"{seconds:18.3f}" for seconds in medians))
    print(f"\n{late:.2f} s after the scheduler was killed (bar {TOLD:g}): {sentence}")
    return max(_ratio(taken, field, title) for field, title in (("processor", "processor time"), ("wall", "wall")))


def _ratio(taken: dict[str, list[Taken]], field: str, title: str) -> int:
    """Print the ratio of the pairs, its median and its range; 1 where it is above the bar."""
    both = zip(taken["crew"], taken["local"], strict=True)
    ratios = [getattr(dask, field) / getattr(crew, field) for crew, dask in both]
    found = statistics.median(ratios)
    said = f"Dask / crew, {title}: {found:.3f} ({min(ratios):.3f} to {max(ratios):.3f}; bar {BAR:g})"
    print(f"{said}: {'within' if found <= BAR else 'ABOVE'}")
    return int(found > BAR)


if __name__ == "__main__":
    sys.exit(main())

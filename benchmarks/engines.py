"""A sweep by a Dask scheduler's two workers beside the same by the local crew's two: `python benchmarks/engines.py`.

    python benchmarks/engines.py [--pairs 5] [--seeds 20] [--steps 100]

Both engines are on this machine, their workers warm, each with one thread (`OMP_NUM_THREADS=1`, which both set for
their workers alike). In a pair the same sweep runs on one and then on the other, in turns the other way round, since
the machine has other work too; what counts is the median of the pairs' ratios. Printed beside it: how long a job
takes from its submission to its first record.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import ExitStack

from peftcalc.jobs.engines.addresses import address
from peftcalc.jobs.engines.batch import Batch, batch
from peftcalc.lab.sweeps.sweep import sweep
from peftcalc.methods import LoRA

BAR = 1.1
WORKERS = 2
ROOMS = ("peftcalc.lab.work",)


def seconds(engine: Batch, seeds: int, steps: int) -> tuple[float, float]:
    """Of a sweep whose runs are not stacked (dropout), so that each is a part of its own; until its first record."""
    methods = [LoRA(rank=4, dropout=0.1)]
    first, begun = 0.0, time.perf_counter()

    def seen(made: int, every: int) -> None:
        nonlocal first
        first = first or time.perf_counter() - begun

    count = sum(1 for _ in sweep("digits", {"methods": methods, "steps": steps}, seeds, progress=seen, engine=engine))
    assert count == seeds
    return time.perf_counter() - begun, first


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=20, help="runs in a sweep")
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {"crew": [], "local": []}
    with ExitStack() as stack:
        engines = {
            kind: stack.enter_context(batch(address(f"{kind}:{WORKERS}"), ROOMS, lambda sentence: None))
            for kind in taken
        }
        for engine in engines.values():
            seconds(engine, WORKERS * 2, 2)  # what is loaded at first use
        for pair in range(asked.pairs):
            for kind in list(engines)[:: -1 if pair % 2 else 1]:
                taken[kind].append(seconds(engines[kind], asked.seeds, asked.steps))
    ratio = statistics.median(dask[0] / crew[0] for crew, dask in zip(taken["crew"], taken["local"], strict=True))
    print(f"{asked.seeds} runs of {asked.steps} steps, {WORKERS} workers, {asked.pairs} pairs; medians\n")
    print(f"{'engine':8} {'sweep, s':>10} {'first record, ms':>18}")
    for name, kind in (("crew", "crew"), ("Dask", "local")):
        whole, first = (statistics.median(values) for values in zip(*taken[kind], strict=True))
        print(f"{name:8} {whole:10.2f} {1000 * first:18.0f}")
    print(f"\nDask / crew: {ratio:.3f} (bar {BAR:g}): {'within' if ratio <= BAR else 'ABOVE'}")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())

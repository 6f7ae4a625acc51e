"""A model-step of digits stacked beside one of `finetune`, in one run: `python benchmarks/stacked.py [--threads 1]`.

With `--map` instead the 100 runs of the live map of ranks, rates and seeds, which are to take at most 30 s on two
cores: `python benchmarks/stacked.py --map --threads 2`.

Times of this process's processor, so that what else runs on the machine counts little; medians over the rounds, in
which both sides alternate.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch

import peftcalc as pc
from peftcalc.lab.run_settings import RunSettings, run_settings
from peftcalc.lab.stacked.stack import Stack
from peftcalc.lab.sweeps.maps import rate_map
from peftcalc.lab.training import Run

MIXES: dict[str, list[pc.LoRA | pc.Full]] = {
    "Full": [pc.Full()],
    "LoRA, rank 8": [pc.LoRA(rank=8)],
    "DoRA, rank 8": [pc.DoRA(rank=8)],
    "LoRA, ranks 1 4 16 64": [pc.LoRA(rank=rank) for rank in (1, 4, 16, 64)],
    "five methods, rank 8": [pc.Full(), pc.LoRA(), pc.DoRA(), pc.QLoRA(), pc.QDoRA()],
}


def milliseconds(steps: Iterator[Any], count: int) -> float:
    """A step of something that trains as far as it is iterated."""
    started = time.process_time()
    for _ in range(count):
        next(steps)
    return 1000 * (time.process_time() - started) / count


def settings(methods: list[Any], models: int) -> list[RunSettings]:
    """So many runs of these methods in turn, over five seeds."""
    return [
        run_settings("digits", methods[i % len(methods)], steps=100_000, evaluations=1, seed=i % 5)
        for i in range(models)
    ]


def measure(methods: list[Any], models: int, rounds: int) -> tuple[float, float]:
    """Milliseconds a model-step, alone (mean over the methods) and stacked."""
    singles, stack = [Run(one) for one in settings(methods, len(methods))], Stack(settings(methods, models))
    for steps in (*singles, stack):
        milliseconds(steps, 4)
    alone, together = [], []
    for _ in range(rounds):
        alone.append(statistics.fmean(milliseconds(run, 8) for run in singles))
        together.append(milliseconds(stack, 4) / models)
    return statistics.median(alone), statistics.median(together)


def map_seconds() -> tuple[int, float, float]:
    """Runs of the default map of ranks, rates and seeds, their seconds, and those of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    runs = sum(cell.validation.count for cell in rate_map())
    return runs, time.perf_counter() - started, time.process_time() - worked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="5,10,20,40")
    parser.add_argument("--map", action="store_true", help="100 runs of ranks, rates and seeds")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.map:
        runs, seconds, worked = map_seconds()
        print(f"{runs} runs of a map: {seconds:.1f} s, {worked:.1f} s of processor on {given.threads} threads (30 s)")
        return
    print(f"{'methods':24}{'K':>4}{'alone, ms':>12}{'stacked, ms':>13}{'ratio':>8}")
    for name, methods in MIXES.items():
        for models in map(int, given.models.split(",")):
            alone, together = measure(methods, models, given.rounds)
            print(f"{name:24}{models:4}{alone:12.2f}{together:13.2f}{alone / together:8.1f}", flush=True)


if __name__ == "__main__":
    main()

"""Which learning rate suits which method: one grid for every method and task, and all of its outcome in a file.

    python scripts/tune_learning_rates.py [TASK ...]

Writes `scripts/logs/learning_rates.csv`, one row a run, as it goes; runs that are there already are not repeated. The
defaults of `peftcalc.lab.tasks.catalogue` are the rates with the lowest mean held-out loss: one for full fine-tuning,
and one that the four adapters share, chosen by the mean over all four, so that none is tuned better than another.
`--summary` prints the means.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from pathlib import Path

import pandas
import torch

from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.training import Run
from peftcalc.methods import METHODS

LOG = Path(__file__).parent / "logs" / "learning_rates.csv"
COLUMNS = ("task", "method", "learning_rate", "seed", "steps", "validation", "stopped")
GRID = (1e-3, 3e-3, 1e-2, 3e-2)
SEEDS = (0, 1)
TUNED = ("names", "digits", "text", "rank", "magnitude", "direction")


def outcome(task: str, method: str, rate: float, seed: int) -> tuple[object, ...]:
    """The row of one run, with rank 8 and the task's default steps and batch; its loss is infinite when it diverged."""
    settings = run_settings(task, method, seed=seed, learning_rate=rate, evaluations=1)
    *_, record = Run(settings)
    stopped = bool(record.stopped)
    loss = math.inf if stopped or record.validation is None else record.validation
    return task, method, f"{rate:g}", seed, settings.steps, f"{loss:.5g}", stopped


def summary() -> pandas.DataFrame:
    """Mean held-out loss over seeds: a row for each task and method, and one for the four adapters; a column a rate."""
    runs = pandas.read_csv(LOG)
    adapters = runs[runs.method != "full"].assign(method="adapters")
    table = pandas.concat([runs, adapters]).pivot_table("validation", ["task", "method"], "learning_rate", sort=False)
    return table.assign(best=table.idxmin(axis=1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", nargs="*", default=TUNED)
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if arguments.summary:
        print(summary().to_string(float_format="{:.4g}".format))
        return
    torch.set_num_threads(1)
    if not LOG.exists():
        LOG.write_text(",".join(COLUMNS) + "\n")
    done = {tuple(row[:4]) for row in csv.reader(LOG.read_text().splitlines())}
    for seed, task in ((seed, task) for seed in SEEDS for task in arguments.tasks):
        for rate, method in itertools.product(GRID, METHODS):
            if (task, method, f"{rate:g}", str(seed)) not in done:
                row = outcome(task, method, rate, seed)
                with LOG.open("a", newline="") as file:
                    csv.writer(file).writerow(row)


if __name__ == "__main__":
    main()

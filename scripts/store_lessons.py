"""Measure what the Rank, DoRA and Train pages show before anything has been trained, and store it.

`python scripts/store_lessons.py [LESSON …]` takes about ten minutes on one core.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import stored
import torch

from peftcalc.geometry.rank_bound import SPECTRA
from peftcalc.geometry.spectrum import rank_of
from peftcalc.lab.runs.intruder_job import intruder_job
from peftcalc.lab.stacked.job import stacked_runs
from peftcalc.lab.stored_lessons import FOLDER
from peftcalc.lab.sweeps.plan import SweepPlan
from peftcalc.lab.training_jobs import start
from peftcalc.lab.watched_runs import moves_job
from peftcalc.ui.lessons.dora import KNOCK_OUT_RANKS, KNOCK_OUT_TEACHERS, move_runs
from peftcalc.ui.lessons.findings.changes import INTRUDER_RANK, spectrum_runs
from peftcalc.ui.lessons.rank import DROPOUT_RATES, DROPOUT_STEPS, KNOWN_RANKS, REAL_RANKS, TEACHER_RANKS

BASES = 4
Records = Iterator[dict[str, Any]]


def known() -> Records:
    """LoRA of every rank against teachers of known rank and spectrum, two teachers of each."""
    for k, spectrum, rank, seed in itertools.product(TEACHER_RANKS, SPECTRA, KNOWN_RANKS, range(2)):
        about = {"task": "rank", "teacher_rank": k, "spectrum": spectrum}
        yield _end({**about, "method": "lora", "rank": rank, "alpha": 2 * rank, "seed": seed})


def real() -> Records:
    """Loss against rank on tasks whose update nobody knows, and full fine-tuning."""
    for task, seeds in (("digits", 4), ("names", 2)):
        for seed in range(seeds):
            yield _end({"task": task, "method": "full", "seed": seed})
            for rank in REAL_RANKS:
                yield _end({"task": task, "method": "lora", "rank": rank, "alpha": 2 * rank, "seed": seed})


def spectrum() -> Records:
    """Singular values of what full fine-tuning adds to each matrix, and of as large random matrices."""
    generator = np.random.default_rng(0)
    for task in ("digits", "names"):
        run = start({"task": task, "method": "full", "seed": 0})
        for _ in run:
            pass
        for matrix, update in run.student.updates().items():
            random = rank_of(generator.standard_normal(update.shape)).singular_values
            values = rank_of(update).singular_values
            yield {
                "task": task,
                "matrix": matrix,
                "shape": list(update.shape),
                "singular_values": values.tolist(),
                "random": (random * np.linalg.norm(values) / np.linalg.norm(random)).tolist(),
            }


def dropout() -> Records:
    """Training and held-out loss of LoRA on 82 names, at several rates of dropout."""
    for seed, rate in itertools.product(range(2), DROPOUT_RATES):
        arguments = {"task": "names:Finland", "method": "lora", "rank": 16, "alpha": 32, "dropout": rate, "seed": seed}
        run = start({**arguments, "steps": DROPOUT_STEPS, "evaluations": 6})
        losses: list[float] = []
        for record in run:
            losses.append(record.loss)
            if record.validation is not None:
                recent = losses[-10:]
                yield {
                    "dropout": rate,
                    "seed": seed,
                    "step": record.step,
                    "training": sum(recent) / len(recent),
                    "validation": record.validation,
                    **record.metrics,
                }


def knockout() -> Records:
    """LoRA and DoRA of every rank where only lengths, only directions, or an additive update of rank 4 is asked for."""
    methods = ("lora", "dora")
    for task, rank, method, seed in itertools.product(KNOCK_OUT_TEACHERS, KNOCK_OUT_RANKS, methods, range(2)):
        yield _end({"task": task, "method": method, "rank": rank, "alpha": 2 * rank, "seed": seed})


def moves() -> Records:
    """Direction and magnitude of every matrix of the digits network, for four pretrained bases."""
    for decay, seed in itertools.product((0.0, 0.3), range(BASES)):
        for _, _, records in moves_job({"runs": move_runs(decay, seed, rows=seed == 0)}, Path()):
            yield from records


def sweep() -> Records:
    """The sweep that the Train page opens with: its looks, as a worker tells them."""
    for part in SweepPlan().parts(1):
        for _, _, records in stacked_runs(part, Path()):
            yield from records


def intruder_spectra() -> Records:
    """Spectra of the digits network before, while and after it learns, by full fine-tuning and by LoRA."""
    for _, _, records in intruder_job({"runs": spectrum_runs(INTRUDER_RANK, 0)}, Path()):
        yield from records


LESSONS = {
    "rank-known": known,
    "dora-knockout": knockout,
    "rank-spectrum": spectrum,
    "dora-moves": moves,
    "rank-real": real,
    "rank-dropout": dropout,
    "sweep": sweep,
    "intruder-spectra": intruder_spectra,
}


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or LESSONS:
        store(name, LESSONS[name]())


def store(name: str, told: Records) -> None:
    """Write `<name>.json.gz`."""
    records = []
    for record in told:
        records.append(stored.rounded(record))
        print(f"\r{name} {len(records)}", end="", flush=True)
    stored.write(FOLDER / f"{name}.json.gz", {"made": stored.made("torch") + ", one thread", "records": records})


def _end(arguments: dict[str, Any]) -> dict[str, Any]:
    """A run's arguments with the held-out loss that it began and ended with."""
    looks = [record for record in start({**arguments, "evaluations": 1}) if record.validation is not None]
    return {**arguments, "before": looks[0].validation, "validation": looks[-1].validation, **looks[-1].metrics}


if __name__ == "__main__":
    main()

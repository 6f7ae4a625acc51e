"""Run the races that the pages show before anything has been trained, and store them.

`python scripts/store_runs.py [TASK …]` takes about two minutes on two cores. The records are
stored as the app's workers tell them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import stored
import torch

from peftcalc.lab.race import Race
from peftcalc.lab.stored_runs import FOLDER
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.lab.training_jobs import finetune_runs

RACES = {
    **{name: Race(name) for name, task in TASKS.items() if not task.extra},
    "names": Race("names", steps=50),
    "magnitude": Race("magnitude", rank=4),  # what the Train page trains by default
    "magnitude-rank-1": Race("magnitude", ("lora", "dora"), rank=1),
}


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or RACES:
        store(name, RACES[name])


def store(name: str, race: Race) -> None:
    """Run a race and write `<name>.json.gz`."""
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for step, _, new in finetune_runs({"runs": race.runs(), "watch": ""}, Path(folder)):
            records += new
            print(f"\r{name} {step}", end="", flush=True)
    told = {"race": race.as_dict(), "made": stored.made("torch") + ", one thread", "records": stored.rounded(records)}
    stored.write(FOLDER / f"{name}.json.gz", told)


if __name__ == "__main__":
    main()

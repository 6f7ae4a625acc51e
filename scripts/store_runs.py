"""Run the races that the pages show before anything has been trained, and store them.

`python scripts/store_runs.py [TASK …]` takes about two minutes on two cores. The records are
stored as the app's workers tell them.
"""

from __future__ import annotations

import gzip
import json
import platform
import sys
import tempfile
from datetime import date
from pathlib import Path

import torch

from peftcalc.lab.race import Race
from peftcalc.lab.stored_runs import FOLDER
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.lab.training_jobs import finetune_runs

RACES = {
    **{name: Race(name) for name, task in TASKS.items() if not task.extra},
    "names": Race("names", steps=50),  # what the Train page trains by default
    "magnitude-rank-1": Race("magnitude", ("lora", "dora"), rank=1),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or RACES:
        store(name, RACES[name])


def store(name: str, race: Race) -> None:
    """Run a race and write `<name>.json.gz`; numbers with five significant figures."""
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for step, _, new in finetune_runs({"runs": race.runs()}, Path(folder)):
            records += new
            print(f"\r{name} {step}", end="", flush=True)
    made = f"{date.today()}, {platform.machine()}, one thread, torch {torch.__version__}"
    content = {"race": race.as_dict(), "made": made, "records": _rounded(records)}
    data = json.dumps(content, separators=(",", ":")).encode()
    (FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(data, mtime=0))
    print(f"\r{name}: {len(records)} records, {len(data)} bytes")


def _rounded(value):
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


if __name__ == "__main__":
    main()

"""kill -9 at random moments with thirty runs in hand: what was acknowledged is there, and nothing says "running".

    python benchmarks/killed.py [--times 50] [--runs 30] [--json]

A process begins runs and adds records to them; what its history has acknowledged it tells on a pipe. It is killed after
a random time. A second process opens the file: its integrity is checked, every acknowledged record must be there, and
half a minute later (the clock of the leases is moved on, nobody waits) no dead run may be said to run.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import new_run

HALF_A_MINUTE = 30.0
LOOKS = [{"matrix": "layer.0", "values": list(range(200))}]


def work(path: Path, runs: int) -> None:
    """Begin, add, end and begin anew, until somebody kills this process."""
    history = History(path)
    kept = [new_run("race", "app", f"run {number}", {"number": number}) for number in range(runs)]
    for run in kept:
        history.begin(run).result(30)
    print("begun", flush=True)
    step = 0
    while True:
        step += 1
        asked = [(run, history.add(run.id, [{"step": step, "look": LOOKS}])) for run in kept]
        for run, future in asked:
            future.result(30)
            print(f"{run.id} {step}", flush=True)
        if step % 20 == 0:
            number = step // 20 % runs
            history.end(kept[number].id, "done", [{"validation": 0.5}]).result(30)
            kept[number] = new_run("race", "app", f"run {number}", {"number": number})
            history.begin(kept[number]).result(30)


def one_round(path: Path, runs: int, chance: random.Random) -> dict[str, object]:
    """Work, be killed, and look."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--work", str(path), "--runs", str(runs)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(chance.uniform(0.05, 1.0))
    process.kill()
    acknowledged: dict[str, int] = {}
    first: dict[str, int] = {}
    for line in process.stdout.read().split("\n")[:-1]:  # the last line may be cut off
        name, _, step = line.partition(" ")
        acknowledged[name] = int(step)
        first.setdefault(name, int(step))
    process.wait()
    return look(path, first, acknowledged)


def look(path: Path, first: dict[str, int], acknowledged: dict[str, int]) -> dict[str, object]:
    """What the next process finds, of each run the records from the first acknowledged one to the last."""
    begun = time.perf_counter()
    history = History(path)
    listed = history.runs(10_000)
    opened = time.perf_counter() - begun
    connection = sqlite3.connect(path)
    integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    lost = 0
    for name, step in acknowledged.items():
        there = [record["step"] for record in history.records(name)]
        lost += not there or there != list(range(there[0], there[-1] + 1)) or there[-1] < step or there[0] > first[name]
    later = time.time() + HALF_A_MINUTE
    with mock.patch("time.time", return_value=later):
        running = sum(run.state == "running" for run in history.runs(10_000))
    history.close()
    return {
        "acknowledged": sum(step - first[name] + 1 for name, step in acknowledged.items()),
        "lost": lost,
        "integrity": integrity,
        "running": running,
        "runs": len(listed),
        "open_seconds": opened,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work, arguments.runs)
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = (arguments.folder or Path(folder)) / "history.sqlite"
        rounds = [one_round(path, arguments.runs, chance) for _ in range(arguments.times)]
    if arguments.json:
        print(json.dumps({"rounds": rounds}))
        return
    lost = sum(int(str(one["lost"])) for one in rounds)
    told = sum(int(str(one["acknowledged"])) for one in rounds)
    whole = sum(one["integrity"] == "ok" for one in rounds)
    slowest = max(float(str(one["open_seconds"])) for one in rounds)
    print(f"{len(rounds)} kills, {told:,} acknowledged records: {lost} runs lost some; {whole} databases whole;")
    print(f"{sum(int(str(one['running'])) for one in rounds)} dead runs said to run half a minute later; ", end="")
    print(f"opened again in at most {slowest:.2f} s")


if __name__ == "__main__":
    main()

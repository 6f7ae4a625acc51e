"""kill -9 at random moments with thirty runs in hand: what was acknowledged is there, and nothing says "running".

    python benchmarks/killed.py [--times 50] [--runs 30] [--json]
    python benchmarks/killed.py --server 5 [--runs 30]      the app's own server, with visitors who train

A process begins runs and adds records to them; what its history has acknowledged it tells on a pipe. It is killed after
a random time. A second process opens the file: its integrity is checked, every acknowledged record must be there, and
half a minute later (the clock of the leases is moved on, nobody waits) no dead run may be said to run.

With `--server` it is Streamlit's process that is killed, while visitors' runs train and wait. What another process
could read of them before counts as acknowledged. Then the server starts again, until a page stands there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
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


def the_server(times: int, visitors: int) -> None:
    """Kill the app so many times, and print what the next one found."""
    from served_app import running_app  # not before: the process that is killed needs none of it

    chance, lost, running, starts, told = random.Random(0), 0, 0, [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        with mock.patch.dict(os.environ, {"PEFTCALC_HISTORY": str(path)}):
            for _ in range(times):
                began = time.perf_counter()
                with running_app() as (url, server):
                    asyncio.run(_first_page(url))
                    starts.append(time.perf_counter() - began)
                    before = asyncio.run(_killed(url, server, visitors, path, chance))
                found = _acknowledged(path)
                told += sum(before.values())
                lost += sum(found.get(name, 0) < count for name, count in before.items())
                with mock.patch("time.time", return_value=time.time() + HALF_A_MINUTE):
                    running += sum(run.state == "running" for run in History(path).runs(10_000))
        connection = sqlite3.connect(path)
        whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
        connection.close()
        runs = len(History(path).runs(10_000))
    print(f"{times} kills of the server, {runs} runs, {told:,} records could be read before: {lost} runs lost some;")

    print(f"database {whole}; {running} dead runs said to run half a minute later;")
    print(f"from the start to the first page: {', '.join(f'{one:.1f}' for one in starts)} s (bar 5)")


async def _first_page(url: str) -> None:
    from classroom_client import Visitor

    async with Visitor(url, page="train") as visitor:
        await visitor.open()


async def _killed(url: str, server: int, visitors: int, path: Path, chance: random.Random) -> dict[str, int]:
    """Let visitors train, and kill the server at some moment; of each run how many pieces of it could be read."""
    from classroom_client import Visitor

    pressed, there = asyncio.Event(), 0

    async def visit() -> None:
        nonlocal there
        with contextlib.suppress(Exception):  # the server is killed under it
            async with Visitor(url, "task=City+names&methods=LoRA&steps=500", "train") as visitor:
                await visitor.open()
                await visitor.press("Train")
                there += 1
                if there == visitors:
                    pressed.set()
                while True:
                    await asyncio.sleep(1.0)
                    await visitor.look()

    async def kill() -> dict[str, int]:
        await asyncio.wait_for(pressed.wait(), 300)
        await asyncio.sleep(chance.uniform(2.0, 8.0))
        before = _acknowledged(path)
        os.kill(server, signal.SIGKILL)
        return before

    crowd = [asyncio.create_task(visit()) for _ in range(visitors)]
    try:
        return await kill()
    finally:
        for one in crowd:
            one.cancel()


def _acknowledged(path: Path) -> dict[str, int]:
    """How many records of each run lie in the file."""
    history = History(path)
    return {run.id: len(history.records(run.id)) for run in history.runs(10_000)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--server", type=int, default=0, help="kill the app's server so many times instead")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work, arguments.runs)
    if arguments.server:
        the_server(arguments.server, arguments.runs)
        return
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

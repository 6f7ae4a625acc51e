"""kill -9 at random moments with thirty runs in hand: what was acknowledged is there, and nothing says "running".

    python benchmarks/killed.py [--times 50] [--runs 30] [--json]
    python benchmarks/killed.py --server 5 [--runs 30]      the app's own server, with visitors who train

A process begins runs and adds records to them; what its history has acknowledged it tells on a pipe. It is killed after
a random time. A second process opens the file: its integrity is checked, every acknowledged record must be there, and
half a minute later (the clock of the leases is moved on, nobody waits) no dead run may be said to run.

With `--server` it is Streamlit's process that is killed, while thirty visitors have each a run in hand: four train,
the others wait, and whose run has ended begins the next. Acknowledged is what lies in the file right before the kill,
as another process reads it: that a run has begun, how it ended, and every record of it, by content. The moment is up to
three seconds after thirty runs and two hundred records of theirs lie there. Then the file is compared with what was
read, its integrity checked, and the server started again over it, until the page Train stands there. One kill takes
about half a minute on two cores: `--server 50` takes half an hour.
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
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import new_run

HALF_A_MINUTE = 30.0
TASK, TRAINING = "Only+the+lengths+change", 4
"""What the server's visitors train, and how many of them at once."""
TOLD, PATIENCE = 200, 600.0
"""Records of runs in hand that lie in the file before a kill, and seconds until they must."""
BETWEEN = 6
"""Visitors beyond those whose runs are in hand: some have just ended one."""
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


@dataclass(frozen=True)
class Acknowledged:
    """What lies in the file of a run: its records as texts."""

    state: str
    begun: float
    records: list[str]

    def alive(self, since: float) -> bool:
        """Whether it is in hand of a server that started then."""
        return self.state == "running" and self.begun >= since


@dataclass
class Killed:
    """What the kills of a server came to."""

    acknowledged: int = 0
    """Records that lay in the file when the server was killed, of runs in hand."""
    in_hand: list[int] = field(default_factory=list)
    """Runs that lay in the file as running, at each kill."""
    lost: list[str] = field(default_factory=list)
    """What is not as it was, in words."""
    running: int = 0
    starts: list[float] = field(default_factory=list)
    """Seconds from the start to the first page, each time over the history of all kills before."""


def the_server(times: int, visitors: int) -> None:
    """Kill the app so many times, and print what the next one found."""
    from served_app import running_app  # not before: the process that is killed needs none of it

    chance, found, begun = random.Random(0), Killed(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        with mock.patch.dict(os.environ, {"PEFTCALC_HISTORY": str(path), "PEFTCALC_WORKERS": str(TRAINING)}):
            for number in range(times + 1):
                began = time.perf_counter()
                with running_app() as (url, server):
                    asyncio.run(_first_page(url))
                    found.starts.append(time.perf_counter() - began)
                    if number < times:
                        since, before = asyncio.run(_killed(url, server, visitors, path, chance))
                if number < times:
                    _compare(path, since, before, found)
        runs = len(History(path).runs(10_000))
    starts = sorted(found.starts[1:])
    hands = f"{min(found.in_hand)} to {max(found.in_hand)}"
    spent = time.perf_counter() - begun
    print(f"{times} kills of the server with {hands} runs in hand, {runs} runs in all, in {spent:.0f} s")
    print(f"{found.acknowledged:,} records were acknowledged before: {len(found.lost)} faults (bar 0)")
    print(f"{found.running} dead runs said to run half a minute later (bar 0)")
    middle = starts[len(starts) // 2]
    print(f"from the start to the first page: median {middle:.1f}, at most {starts[-1]:.1f} s (bar 5)")
    for sentence in found.lost[:5]:
        print("  fault:", sentence)


async def _first_page(url: str) -> None:
    from classroom_client import Visitor

    async with Visitor(url, page="train") as visitor:
        await visitor.open()


async def _killed(
    url: str, server: int, visitors: int, path: Path, chance: random.Random
) -> tuple[float, dict[str, Acknowledged]]:
    """Let visitors train, and kill the server at some moment; since when, and what was acknowledged right before."""
    from classroom_client import Visitor

    since = time.time()

    async def visit(number: int) -> None:
        query = f"task={TASK}&methods=LoRA&steps=500&seed={number % 10}"
        with contextlib.suppress(Exception):  # the server is killed under it
            async with Visitor(url, query, "train") as visitor:
                await visitor.open()
                while True:
                    if visitor.has("button", "Train"):  # at first, and when its run has ended
                        await visitor.press("Train")
                    await asyncio.sleep(1.0)
                    if visitor.looking:
                        await visitor.look()

    crowd = [asyncio.create_task(visit(number)) for number in range(visitors + BETWEEN)]
    try:
        end = time.monotonic() + PATIENCE
        while True:
            there = await asyncio.to_thread(_acknowledged, path, since)
            hand = [run.records for run in there.values() if run.alive(since)]
            if len(hand) >= visitors and sum(map(len, hand)) >= TOLD:
                break
            if time.monotonic() > end:
                raise RuntimeError(f"only {len(hand)} runs are in hand, with {sum(map(len, hand))} records")
            await asyncio.sleep(0.5)
        await asyncio.sleep(chance.uniform(0.0, 3.0))
        before = await asyncio.to_thread(_acknowledged, path)
        os.kill(server, signal.SIGKILL)
        return since, before
    finally:
        for one in crowd:
            one.cancel()


def _acknowledged(path: Path, since: float = 0.0) -> dict[str, Acknowledged]:
    """Each run in the file, or each that began since then."""
    if not path.exists():
        return {}
    history = History(path)
    runs = [run for run in history.runs(10_000) if run.begun >= since]
    return {
        run.id: Acknowledged(run.state, run.begun, [json.dumps(one) for one in history.records(run.id)]) for run in runs
    }


def _compare(path: Path, since: float, before: dict[str, Acknowledged], found: Killed) -> None:
    """What the file holds after a kill, beside what it held before."""
    connection = sqlite3.connect(path)
    whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    found.lost += [] if whole == "ok" else [f"the database: {whole}"]
    after = _acknowledged(path)
    for name, run in before.items():
        now = after.get(name, Acknowledged("gone", 0.0, []))
        if now.records[: len(run.records)] != run.records or (run.state != "running" and now.state != run.state):
            was = f"{run.state} with {len(run.records)} records"
            found.lost.append(f"run {name}: {was}, now {now.state} with {len(now.records)}")
    hand = [run.records for run in before.values() if run.alive(since)]
    found.in_hand.append(len(hand))
    found.acknowledged += sum(map(len, hand))
    with mock.patch("time.time", return_value=time.time() + HALF_A_MINUTE):
        found.running += sum(run.state == "running" for run in History(path).runs(10_000))


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

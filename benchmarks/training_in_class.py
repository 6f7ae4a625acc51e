"""A class on one server: thirty visitors with the Train page open, one run each, looking once a second.

    python benchmarks/training_in_class.py [--visitors 30] [--seconds 120] [--rounds 3]

Starts the app on a free port of the loopback interface and opens real WebSocket connections that speak Streamlit's
protocol: each visitor loads the page, presses Train once, and then looks as its browser would, while the runs wait,
train and end. Printed a round: looks, median and 95th percentile of a look, errors, runs that ended well, and the
memory of the server and its workers (proportional set size where the kernel tells it, resident size otherwise).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from classroom_client import Visitor
from served_app import memory_bytes, running_app

BARS = {"median": 0.2, "p95": 0.5, "memory": 1.5e9, "first point": 2.0, "comparison": 20.0, "ratio": 1.3}


ALONE = """
import sys, time, torch
from peftcalc.lab.training_jobs import start
torch.set_num_threads(1)
for steps in (1, int(sys.argv[1])):  # the first run loads what the second is measured without
    began = time.perf_counter()
    for _ in start({"task": "names", "method": "lora", "rank": 8, "steps": steps}):
        pass
print(time.perf_counter() - began)
"""


@dataclass
class Round:
    """What one round of visitors met with."""

    looks: list[float] = field(default_factory=list)
    first_points: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    finished: int = 0
    unfinished: int = 0
    memory: tuple[float, float] = (0.0, 0.0)
    """Of the server and of its workers, bytes, when both together held most."""


async def one_visitor(url: str, steps: int, seconds: float, delay: float, result: Round) -> None:
    """Open the page, press Train, look once a second until the time is over."""
    await asyncio.sleep(delay)  # people do not click within the same millisecond
    visitor = Visitor(url, f"steps={steps}&methods=LoRA")
    try:
        async with visitor:
            await visitor.open()
            await visitor.press("Train")
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                started = time.monotonic()
                if visitor.looking:
                    result.looks.append(await visitor.look())
                await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - started)))
            await _finish(visitor)
            result.finished += visitor.says("measured")
            result.unfinished += not visitor.says("measured")
    except Exception as error:
        result.errors.append(f"{type(error).__name__}: {error}")
    result.errors += visitor.errors


async def _finish(visitor: Visitor, patience: float = 300.0) -> None:
    """A run that is still going when the time is over is not lost: wait for its end."""
    end = time.monotonic() + patience
    while visitor.looking and time.monotonic() < end:
        await visitor.look()
        await asyncio.sleep(1.0)


async def one_round(url: str, server: int, visitors: int, steps: int, seconds: float) -> Round:
    result = Round()
    tasks = [one_visitor(url, steps, seconds, 0.1 * index, result) for index in range(visitors)]
    everybody = asyncio.gather(*tasks)
    while not everybody.done():
        result.memory = max(result.memory, memory_bytes(server), key=sum)
        await asyncio.sleep(2.0)
    await everybody
    return result


async def first_click(url: str, query: str) -> tuple[float, float]:
    """Seconds from the click to the first point, and to the end of the run, for one visitor alone."""
    async with Visitor(url, query) as visitor:
        await visitor.open()
        started = time.monotonic()
        await visitor.press("Train")
        first = float("nan")
        while visitor.looking:
            if visitor.says("measured") and first != first:
                first = time.monotonic() - started
            await asyncio.sleep(0.25)
            await visitor.look()
        return first, time.monotonic() - started


def alone(steps: int) -> float:
    """Seconds of the same run in a process of its own, without the app; loading torch and the base is not counted."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-c", ALONE, str(steps)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def report(name: str, result: Round) -> str:
    looks = sorted(result.looks)
    p95 = looks[int(0.95 * (len(looks) - 1))]
    return (
        f"| {name} | {len(looks)} | {statistics.median(looks):.3f} | {p95:.3f} | {len(result.errors)} "
        f"| {result.finished} of {result.finished + result.unfinished} "
        f"| {result.memory[0] / 1e6:.0f} + {result.memory[1] / 1e6:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="of each visitor's run")
    arguments = parser.parse_args()
    if not (1 <= arguments.visitors <= 100 and arguments.rounds <= 20 and arguments.seconds <= 600):
        parser.error("at most 100 visitors, 20 rounds and 600 seconds")
    with running_app() as (url, server):
        asyncio.run(first_click(url, "steps=10"))  # a warm server
        firsts, ratios = [], []
        for _ in range(3):  # paired, since the machine may be noisy
            first, seconds = asyncio.run(first_click(url, "steps=100&methods=LoRA"))
            firsts.append(first)
            ratios.append(seconds / alone(100))
        _, whole = asyncio.run(first_click(url, ""))
        print(f"first click to first point: {statistics.median(firsts):.2f} s (bar: {BARS['first point']:g} s)")
        print(f"a job in the app / alone: {statistics.median(ratios):.2f} (bar: {BARS['ratio']:g})")
        print(f"default comparison of five methods: {whole:.1f} s (bar: {BARS['comparison']:g} s)\n")
        print("| round | looks | median s | 95 % s | errors | runs ended | server + workers MB |")
        print("|---|---|---|---|---|---|---|")
        for number in range(arguments.rounds):
            result = asyncio.run(one_round(url, server, arguments.visitors, arguments.steps, arguments.seconds))
            print(report(f"{arguments.visitors} visitors, {number + 1}", result), flush=True)
            for error in sorted(set(result.errors))[:5]:
                print("  error:", error)


if __name__ == "__main__":
    main()

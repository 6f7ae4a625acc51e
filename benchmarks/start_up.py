"""A cold server and its first visitor: seconds from the address being printed to a page, beside a bare page's.

    python benchmarks/start_up.py [--repeats 3] [--rest 0 20]

Each row is a server of its own, started as `make app` starts it. The visitor comes when the address has been printed
and the server answers (`rest` 0), or so many seconds later, when the server has had time to warm itself. A bare page is
measured in the same way. Files are in the system's cache from the second start on: what the disk costs is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from classroom import BARE
from classroom_client import Visitor
from served_app import memory_bytes, process_seconds, running_app

from peftcalc.ui.pages import PAGES


async def open_page(url: str, page: str) -> float:
    """Seconds from the click to the end of the page's script."""
    started = time.monotonic()
    async with Visitor(url, page=page) as visitor:
        await visitor.open()
    return time.monotonic() - started


def first_visit(script: str, page: str, rest: float) -> tuple[float, float, float, float]:
    """Seconds until the server answers at all, seconds of its first visit and of its own processor time meanwhile, and
    its memory then, bytes."""
    began = time.monotonic()
    with running_app(script) as (url, server):
        answers = time.monotonic() - began
        time.sleep(rest)
        before = process_seconds(server)
        seconds = asyncio.run(open_page(url, page))
        return answers, seconds, process_seconds(server) - before, sum(memory_bytes(server))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--rest", type=float, nargs="+", default=[0.0, 20.0])
    parser.add_argument(
        "--pages",
        nargs="+",
        default=["", "memory"],
        choices=[entry.path for entry in PAGES],
        help="'' is the front page",
    )
    asked = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores; medians of {asked.repeats}\n")
    print("| first visited | visitor comes after, s | server answers, s | the page, s | its processor time, s | MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        for script, page, name in [(str(bare), "", "a bare page"), *(("app.py", p, p or "home") for p in asked.pages)]:
            for rest in asked.rest:
                found = [first_visit(script, page, rest) for _ in range(asked.repeats)]
                answers, seconds, spent, memory = (statistics.median(column) for column in zip(*found, strict=True))
                row = (name, f"{rest:g}", f"{answers:.1f}", f"{seconds:.2f}", f"{spent:.2f}", f"{memory / 1e6:.0f}")
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()

"""Measure what the claims of `peftcalc.lab.findings.claims` are decided by, and store it.

`python scripts/store_findings.py [NAME …] [--seeds N] [--cache FOLDER] [--cached-only]`

Every job is kept in the cache as a line of JSON as soon as it ends: what was cut off goes on where it was.
The small models take about twenty minutes of one thread, SmolLM2 about ten more.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import stored
import torch

from peftcalc.lab.findings.stored import FOLDER, checked_finding
from peftcalc.lab.findings.trials import TRIALS, Trial
from peftcalc.units import for_json

CACHE = Path("/tmp") / "peftcalc-findings"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TRIALS)}; all where none is given")
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--cached-only", action="store_true", help="store what the cache holds, run nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.cache.mkdir(parents=True, exist_ok=True)
    for name in given.names or TRIALS:
        lines = measured(name, TRIALS[name], given.cache / f"{name}.jsonl", given.seeds, given.cached_only)
        if lines:
            store(name, lines)


def measured(name: str, trial: Trial, cache: Path, seeds: int | None, cached_only: bool) -> list[dict[str, Any]]:
    """What the jobs of a trial tell, those in the cache among them, by seed."""
    found = {key_of(line["job"]): line for line in cached(cache)}
    wanted = [job for seed in range(seeds or trial.seeds) for job in trial.jobs(seed)]
    for job in wanted:
        if key_of(job) in found or cached_only:
            continue
        started = time.process_time()
        rows = stored.rounded(for_json(trial.rows(job)))
        line = {"job": job, "rows": rows, "seconds": time.process_time() - started}
        with cache.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        found[key_of(job)] = line
        print(f"{name} {job}: {line['seconds']:.0f} s", flush=True)
    return [found[key_of(job)] for job in wanted if key_of(job) in found]


def store(name: str, lines: list[dict[str, Any]]) -> None:
    """Write `NAME.json.gz`."""
    rows = [row for line in lines for row in line["rows"]]
    made = {
        "script": "scripts/store_findings.py",
        "arguments": name,
        "seeds": sorted({row["seed"] for row in rows}),
        "torch": version("torch"),
        "peftcalc": version("peftcalc"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, one thread",
        "seconds": round(sum(line["seconds"] for line in lines)),
        "date": str(date.today()),
    }
    content = {"made": made, "rows": stored.rounded(rows)}
    checked_finding(name, content)
    stored.write(FOLDER / f"{name}.json.gz", content)


def cached(path: Path) -> list[dict[str, Any]]:
    """The lines of a cache; one that was cut off at its end is left out."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise
    return found


def key_of(job: dict[str, Any]) -> str:
    return json.dumps(job, sort_keys=True)


if __name__ == "__main__":
    main()

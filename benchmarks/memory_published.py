"""Predicted against published memory: the estimate at once, the simulation row by row.

    python benchmarks/memory_published.py [--estimate-only] [--setup known]

Every row with its source is in peftcalc/evidence/data/published.csv. The bars of the project, for rows whose set-up is
known: mean absolute error of the simulation at most 5 %, worst at most 10 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from peftcalc.evidence.published import SETUPS, Measurement, published
from peftcalc.memory.estimate.closed_form import MemoryEstimate, estimate_memory
from peftcalc.memory.records import MemoryTrace
from peftcalc.memory.simulate.simulate import simulate_memory


def predictions(row: Measurement, simulate: bool) -> dict[str, MemoryEstimate | MemoryTrace]:
    """Answers by way of prediction."""
    asked = (row.model, row.method, row.batch, row.sequence)
    answers: dict[str, MemoryEstimate | MemoryTrace] = {"estimate": estimate_memory(*asked, **row.options)}
    if simulate:
        answers["simulation"] = simulate_memory(*asked, **row.options)
    return answers


def main() -> None:
    """Print one line a row, then mean and worst error by how well the set-up is known."""
    parser = argparse.ArgumentParser(description="Predicted against published memory.")
    parser.add_argument("--estimate-only", action="store_true")
    parser.add_argument("--setup", choices=list(SETUPS), help="only rows whose set-up is known this well")
    arguments = parser.parse_args()
    errors: dict[tuple[str, str], list[float]] = {}
    for row in published():
        if arguments.setup and row.setup != arguments.setup:
            continue
        try:
            answers = predictions(row, not arguments.estimate_only)
        except ValueError as error:
            print(f"left out: {row.id}: {error}", file=sys.stderr)
            continue
        shown = []
        for way, answer in answers.items():
            error = row.error(answer)
            errors.setdefault((row.setup, way), []).append(error)
            shown.append(f"{way} {row.predict(answer) / 1e9:6.2f} GB {error:+6.1%}")
        print(f"{row.id:34} measured {row.measured_bytes / 1e9:6.2f} GB  {'  '.join(shown)}  {row.setup}", flush=True)
    print()
    for (setup, way), values in errors.items():
        sizes = [abs(value) for value in values]
        mean, worst = statistics.mean(sizes), max(values, key=abs)
        print(f"{setup:14} {way:11} {len(values):3} rows  mean |error| {mean:5.1%}  worst {worst:+6.1%}")


if __name__ == "__main__":
    main()

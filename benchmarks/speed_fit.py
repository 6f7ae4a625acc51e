"""Fit the two constants of the estimate of time to published rows, leave one source out, and print what remains.

    python benchmarks/speed_fit.py [--rows] [--grid]

Two constants are fitted to all rows of A100 and L40S: the share of the dense peak that matrix products reach, and the
seconds of the host for a kernel. Every source weighs as the root of its rows, and a row counts by the absolute
logarithm of predicted over measured, at most 0.3, so that no row that is wrong by itself pulls. Errors are those of
rows with at least 800 tokens a pass. The constants in use stand in `peftcalc/speed/machine.py`; `--rows` prints every
row, `--grid` looks for the best pair again (a minute).
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

from peftcalc.evidence.throughput import Throughput, throughput
from peftcalc.speed.machine import SET, Constants
from peftcalc.speed.ranges import CHECKED, ENOUGH_TOKENS

HALVES = [0.74 + 0.01 * step for step in range(14)]
LAUNCHES = [step * 1e-6 for step in (10, 12, 14, 16, 18, 20)]
WORST = 0.3

Errors = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the estimate of time to published rows.")
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--grid", action="store_true", help="fit anew, and leave one source out")
    arguments = parser.parse_args()
    rows = [row for row in throughput() if row.timed and row.card in CHECKED]
    found = errors(rows, SET)
    if arguments.rows:
        for row in [row for row in throughput() if row.timed]:
            print(f"{row.id[:52]:52} {row.card:10} {row.tokens:7} tokens {row.error():+7.1%}")
    print(f"in use: half {SET.half}, launch {SET.launch * 1e6:.0f} µs")
    tell(rows, found)
    if arguments.grid:
        leave_one_out(rows)


def errors(rows: Iterable[Throughput], constants: Constants) -> Errors:
    """Relative error of every row by its id."""
    return {row.id: row.error(constants) for row in rows}


def leave_one_out(rows: list[Throughput]) -> None:
    """The best pair for all sources, and for all but one; the errors of the one that was left out."""
    tried = {
        (half, launch): errors(rows, replace(SET, half=half, launch=launch))
        for half, launch in product(HALVES, LAUNCHES)
    }
    best = min(tried, key=lambda pair: badness(rows, tried[pair]))
    print(f"\nbest for all: half {best[0]:.2f}, launch {best[1] * 1e6:.0f} µs")
    left: Errors = {}
    for source in dict.fromkeys(row.source for row in rows):
        others = [row for row in rows if row.source != source]
        pair = min(tried, key=lambda pair: badness(others, tried[pair]))
        print(f"without {source:22} half {pair[0]:.2f}, launch {pair[1] * 1e6:.0f} µs")
        left |= {row.id: tried[pair][row.id] for row in rows if row.source == source}
    print("\nleave one source out:")
    tell(rows, left)


def badness(rows: Iterable[Throughput], found: Errors) -> float:
    """Mean capped |log| over sources, each weighted by the root of its rows."""
    by_source: dict[str, list[float]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(min(abs(math.log1p(found[row.id])), WORST))
    weights = {source: math.sqrt(len(values)) for source, values in by_source.items()}
    total = sum(weights[source] * statistics.mean(values) for source, values in by_source.items())
    return total / sum(weights.values())


def tell(rows: list[Throughput], found: Errors) -> None:
    """One line for all rows with enough tokens, and one for each source, method, model and kind of kernels."""
    enough = [row for row in rows if row.tokens >= ENOUGH_TOKENS]
    line("all, 800 tokens and more", [found[row.id] for row in enough])
    keys: tuple[Callable[[Throughput], str], ...] = (
        lambda row: row.source,
        lambda row: row.card,
        lambda row: f"{row.method.name} {row.quant}",
        lambda row: str(row.options["kernels"]),
        lambda row: row.printed_model,
    )
    for key in keys:
        for name in dict.fromkeys(map(key, enough)):
            line(name, [found[row.id] for row in enough if key(row) == name])
    line("fewer tokens", [found[row.id] for row in rows if row.tokens < ENOUGH_TOKENS])


def line(name: str, values: list[float]) -> None:
    sizes = sorted(map(abs, values))
    ninth = sizes[max(math.ceil(0.9 * len(sizes)) - 1, 0)]
    inside = sum(1 / 1.15 <= 1 + value <= 1.15 for value in values) / len(values)
    print(
        f"{name:44} {len(values):4} rows  median {statistics.median(sizes):6.1%}  90 % within {ninth:6.1%}  "
        f"bias {statistics.median(values):+6.1%}  in range {inside:4.0%}"
    )


if __name__ == "__main__":
    main()

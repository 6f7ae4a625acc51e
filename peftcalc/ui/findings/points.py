"""Rows of runs as points of a picture: the seeds of a point together, their mean and its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from peftcalc.lab.comparison import interval
from peftcalc.methods import METHODS
from peftcalc.plots.findings.curves import FULL

Row = Mapping[str, Any]
Point = dict[str, Any]


def points(rows: Iterable[Row], series: Callable[[Row], str], x: str, value: str) -> list[Point]:
    """A point for each series and x: series, x, mean, low, high, seeds; one of which a seed diverged is left out.

    >>> rows = [{"method": "full", "rate": 0.1, "loss": loss} for loss in (1.0, 3.0)]
    >>> [(p["series"], p["mean"], p["seeds"]) for p in points(rows, lambda row: row["method"], "rate", "loss")]
    [('full', 2.0, 2)]
    """
    found: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        number = row[value]
        found.setdefault((series(row), float(row[x])), []).append(math.inf if number is None else float(number))
    return [point(name, at, values) for (name, at), values in found.items() if all(map(math.isfinite, values))]


def point(series: str, x: float, values: Sequence[float]) -> Point:
    """One point of all its seeds."""
    return {"series": series, "x": x, **spread(values)}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The mean with its interval, which a single seed does not have."""
    found = interval(values)
    half = found.half_width if math.isfinite(found.half_width) else 0.0
    return {"mean": found.mean, "low": found.mean - half, "high": found.mean + half, "seeds": found.count}


def lowest(found: Iterable[Point]) -> dict[str, Point]:
    """Of each series the point where its mean is lowest."""
    best: dict[str, Point] = {}
    for one in found:
        if one["series"] not in best or one["mean"] < best[one["series"]]["mean"]:
            best[one["series"]] = one
    return best


def by_rank(row: Row) -> str:
    """The name of a run's series: its method, and the rank of an adapter."""
    return FULL if row["method"] == "full" else f"{METHODS[row['method']].label} rank {row['rank']}"


def plus_minus(found: Mapping[str, Any], style: str = ".3g") -> str:
    """A mean with its interval, as a sentence has it.

    >>> plus_minus({"mean": 1.0, "low": 0.75, "high": 1.25})
    '1 ± 0.25'
    """
    half = (found["high"] - found["low"]) / 2
    return f"{found['mean']:{style}} ± {half:.2g}".replace("-", "−")

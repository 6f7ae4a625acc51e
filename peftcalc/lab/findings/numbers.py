"""What decides claims: rows chosen, paired differences with 95 % intervals, the best rate between those tried."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from peftcalc.lab.comparison import Interval, interval

Badge = Literal["reproduces", "not resolved", "reverses"]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """What rows say of a claim."""

    badge: Badge
    sentence: str


def chosen(rows: Rows, **wanted: Any) -> Rows:
    """The rows with these values.

    >>> chosen([{"a": 1, "b": 2}, {"a": 2, "b": 2}], a=1)
    [{'a': 1, 'b': 2}]
    """
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def by_seed(rows: Rows, value: str) -> dict[int, float]:
    """One number a seed."""
    return {row["seed"]: row[value] for row in rows}


def seeds_of(rows: Rows) -> int:
    """How many seeds there are."""
    return len({row["seed"] for row in rows})


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Interval:
    """`first − second` over the seeds that both have.

    >>> print(paired({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0}))
    1.0000 ± 0.0000 (n = 2)
    """
    return interval([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])


def direction(difference: Interval) -> int:
    """The sign of a difference whose interval does not hold zero, else 0; an unknown interval tells nothing."""
    if not math.isfinite(difference.half_width) or abs(difference.mean) <= difference.half_width:
        return 0
    return 1 if difference.mean > 0 else -1


def badge_for(sign: int) -> Badge:
    """The badge of a claim that asks for a positive difference."""
    return {1: "reproduces", 0: "not resolved", -1: "reverses"}[sign]  # type: ignore[return-value]


def best_rates(rows: Rows, value: str = "validation") -> dict[int, float]:
    """log₁₀ of each seed's best rate: the vertex of the parabola through the lowest loss and its two neighbours in the
    logarithm of both; the rate itself where the lowest is the first or last that was tried.

    >>> rows = [{"seed": 0, "learning_rate": 10**x, "validation": 10 ** (x + 2.2) ** 2} for x in (-3, -2, -1)]
    >>> {seed: round(rate, 3) for seed, rate in best_rates(rows).items()}
    {0: -2.2}
    """
    grouped: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        grouped[row["seed"]].append((math.log10(row["learning_rate"]), row[value]))
    return {seed: _vertex(sorted(points)) for seed, points in sorted(grouped.items())}


def _vertex(points: list[tuple[float, float]]) -> float:
    place = min(range(len(points)), key=lambda i: points[i][1])
    near = points[max(place - 1, 0) : place + 2]
    if len(near) < 3 or not all(0 < y < math.inf for _, y in near):
        return points[place][0]
    (x0, y0), (x1, y1), (x2, y2) = ((x, math.log(y)) for x, y in near)
    first, second = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (second - first) / (x2 - x0)
    if bend <= 0:
        return x1
    return min(max((x0 + x1) / 2 - first / (2 * bend), x0), x2)


def at_best_rate(rows: Rows, value: str = "validation") -> Rows:
    """The rows at the one rate whose mean loss over the seeds is lowest; a rate at which any seed diverged is not."""
    rates = sorted({row["learning_rate"] for row in rows})
    means = {rate: _mean(row[value] for row in rows if row["learning_rate"] == rate) for rate in rates}
    return chosen(rows, learning_rate=min(rates, key=lambda rate: means[rate]))


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def spread(one: Interval, digits: int = 3) -> str:
    """A mean with half its interval: `0.781 ± 0.020`.

    >>> spread(Interval(0.78125, 0.0203, 10))
    '0.781 ± 0.020'
    """
    return f"{one.mean:.{digits}f} ± {one.half_width:.{digits}f}"


def signed(one: Interval, digits: int = 3) -> str:
    """The same of a difference, with its sign: `+0.008 ± 0.003`."""
    return f"{one.mean:+.{digits}f} ± {one.half_width:.{digits}f}".replace("-", "−")

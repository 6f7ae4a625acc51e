"""How a step's bytes grow with a batch or a sequence: the estimate computed once, with a number that remembers.

A `Size` is a batch or a sequence that knows how all that is computed from it depends on it: `c₀ + c₁·n + c₂·n²`. Where
the estimate compares (a mask from the second sequence on, the higher of two moments, at most 1,024 positions at a
time), the number notes up to which n the answer stays the same. So one run of the estimate's own code, whatever its
rules, gives its exact polynomial and the stretch on which it holds; a few runs give the whole course.

Rounding is kept as a distance from the polynomial. An operation that is not known here (`int`, `float`, a power, a
cache keyed by the number) is a `TypeError`: nothing is ever lost silently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from peftcalc.memory.estimate.growing.sizes import Course, Size

MOST_PIECES = 64
"""A course of more is not worth solving."""


@dataclass(frozen=True)
class Piece:
    """A stretch of sizes on which the bytes of every moment are one polynomial."""

    first: int
    last: int
    moments: tuple[Size, ...]

    def fits(self, n: int, limit: float) -> bool | None:
        """Whether all moments are at most `limit` bytes; None where rounding decides."""
        answer: bool | None = True
        for moment in self.moments:
            at, doubt = moment.at(n), moment.doubt(n)
            if at - doubt > limit:
                return False
            if at + doubt > limit:
                answer = None
        return answer

    def exceeds(self, limit: float) -> bool:
        """True when its end certainly does not fit."""
        return self.fits(self.last, limit) is False

    def about(self, limit: int) -> int:
        """The largest size in it that fits, to within one or two; `first − 1` for none."""
        return max(self.first - 1, min(self.last, *(moment.reaches(limit) for moment in self.moments)))

    def follows(self, other: Piece) -> bool:
        """True when the bytes do not fall from the other's end to this one's beginning."""
        before = max(moment.at(other.last) - moment.doubt(other.last) for moment in other.moments)
        return max(moment.at(self.first) + moment.doubt(self.first) for moment in self.moments) >= before


def pieces(moments: Callable[[Size], Sequence[Any]], last: int, enough: float = math.inf) -> tuple[Piece, ...] | None:
    """The course of some moments' bytes from size 1 to `last`; None where it cannot be told or where it falls.

    Args:
        moments: bytes of each moment at a size, of which the highest counts.
        last: the largest size.
        enough: bytes beyond which nothing need be known; the course then ends with the piece that passes them.

    >>> [(p.first, p.last) for p in pieces(lambda n: [min(n, 1024) * 7, 3000 + n * n if n > 1 else 0], 5000)]
    [(1, 1), (2, 1024), (1025, 5000)]
    """
    found: list[Piece] = []
    first = 1
    while first <= last:
        course = Course(first, last)
        try:
            sizes = moments(Size.of(course))
        except (TypeError, AttributeError):
            return None
        exact = tuple(size if isinstance(size, Size) else Size(size, course, size, 0, 0, 0) for size in sizes)
        piece = Piece(first, course.last, exact)
        rising = all(moment.grows() for moment in exact) and (not found or piece.follows(found[-1]))
        if not rising or len(found) == MOST_PIECES:
            return None
        found.append(piece)
        if piece.exceeds(enough):
            break
        first = course.last + 1
    return tuple(found)

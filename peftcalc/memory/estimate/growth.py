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
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Number = int | float

MOST_PIECES = 64
"""A course of more is not worth solving."""

_FLOAT_ERROR = 1e-12
"""Relative error of a polynomial with coefficients that are floats, against the estimate's own order of operations."""


class Course:
    """One run of the estimate: it is computed for `at` and holds up to `last`."""

    __slots__ = ("at", "last")

    def __init__(self, at: int, last: int) -> None:
        self.at, self.last = at, last


@dataclass(frozen=True)
class Polynomial:
    """`c₀ + c₁·n + c₂·n²`, from which what was rounded differs by at most `off`.

    >>> Polynomial(1, 2, 3).at(10)
    321
    """

    constant: Number
    linear: Number = 0
    square: Number = 0
    off: float = 0.0

    def at(self, n: int) -> Number:
        """Its value."""
        return self.constant + n * (self.linear + n * self.square)

    def doubt(self, n: int) -> float:
        """How far the estimate may be from the value: rounding, and the error of floats; 0 where all is whole."""
        if isinstance(self.constant, int) and isinstance(self.linear, int) and isinstance(self.square, int):
            return self.off
        size = abs(self.constant) + n * (abs(self.linear) + n * abs(self.square))
        return self.off + _FLOAT_ERROR * size

    def grows_from(self, n: int) -> bool:
        """True when it never falls from n on."""
        return self.square >= 0 and self.linear + 2 * n * self.square >= 0

    def reaches(self, limit: int, otherwise: int) -> int:
        """The largest n, to within one, at which it is at most `limit`; `otherwise` where it does not grow.

        The positive root of `c₂·n² + c₁·n = limit − c₀`.
        """
        room = limit - self.constant
        if room < 0:
            return -1
        if self.square > 0:
            root = math.sqrt(self.linear * self.linear + 4 * self.square * room)
            return int(2 * room / (self.linear + root)) if self.linear + root else otherwise
        return int(room / self.linear) if self.linear > 0 else otherwise


class Size:
    """A number computed from a batch or a sequence, and how it depends on it; see the module."""

    __slots__ = ("course", "polynomial", "value")

    def __init__(self, value: Number, polynomial: Polynomial, course: Course) -> None:
        self.value, self.polynomial, self.course = value, polynomial, course

    # A number that can be a key would be kept under a value that is only one of many.
    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Any) -> Any:
        p = self.polynomial
        if isinstance(other, Size):
            q = other.polynomial
            total = Polynomial(p.constant + q.constant, p.linear + q.linear, p.square + q.square, p.off + q.off)
            return self._new(self.value + other.value, total)
        if not isinstance(other, int | float):
            return NotImplemented
        return self._new(self.value + other, Polynomial(p.constant + other, p.linear, p.square, p.off))

    __radd__ = __add__

    def __neg__(self) -> Any:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + -1 * other if isinstance(other, Size | int | float) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        return self * -1 + other

    def __mul__(self, other: Any) -> Any:
        p = self.polynomial
        if isinstance(other, Size):
            q = other.polynomial
            if p.off or q.off or p.square * q.linear or p.linear * q.square or p.square * q.square:
                raise TypeError("a product of rounded sizes, or of a third degree, is not known")
            square = p.constant * q.square + p.linear * q.linear + p.square * q.constant
            linear = p.constant * q.linear + p.linear * q.constant
            return self._new(self.value * other.value, Polynomial(p.constant * q.constant, linear, square))
        if not isinstance(other, int | float):
            return NotImplemented
        if not other:
            return other
        scaled = Polynomial(p.constant * other, p.linear * other, p.square * other, p.off * abs(other))
        return self._new(self.value * other, scaled)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        p = self.polynomial
        divided = Polynomial(p.constant / other, p.linear / other, p.square / other, p.off / abs(other))
        return self._new(self.value / other, divided)

    def __floordiv__(self, other: Any) -> Any:
        """At most 1 below the quotient: half of it is taken off, and the other half is in doubt."""
        if not isinstance(other, int):
            return NotImplemented
        p = (self / other).polynomial
        return self._new(self.value // other, Polynomial(p.constant - 0.5, p.linear, p.square, p.off + 0.5))

    def __round__(self) -> Any:
        p = self.polynomial
        if isinstance(self.value, int):
            return self
        return self._new(round(self.value), Polynomial(p.constant, p.linear, p.square, p.off + 0.5))

    def __bool__(self) -> bool:
        return self != 0

    def __lt__(self, other: Any) -> bool:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> bool:
        return self._compare(other, operator.le)

    def __gt__(self, other: Any) -> bool:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> bool:
        return self._compare(other, operator.ge)

    def __eq__(self, other: Any) -> bool:
        return self._compare(other, operator.eq)

    def __ne__(self, other: Any) -> bool:
        return self._compare(other, operator.ne)

    def _new(self, value: Number, polynomial: Polynomial) -> Any:
        return Size(value, polynomial, self.course)

    def _compare(self, other: Any, test: Callable[[Any, Any], bool]) -> bool:
        """The answer here, after shortening the course to where it is the same for certain."""
        if not isinstance(other, Size | int | float):
            return NotImplemented
        difference = self - other
        value = other.value if isinstance(other, Size) else other
        answer = test(self.value, value)
        self.course.last = _last_alike(difference.polynomial, self.course, lambda at: test(at, 0), answer)
        return answer


def _last_alike(difference: Polynomial, course: Course, test: Callable[[Number], bool], answer: bool) -> int:
    """The last n of the course up to which a difference answers alike: nothing crosses zero before it."""

    def alike(n: int) -> bool:
        at, doubt = difference.at(n), difference.doubt(n)
        return test(at - doubt) == answer == test(at + doubt) and (not doubt or not at - doubt < 0 < at + doubt)

    if not alike(course.at):
        return course.at
    for root in sorted(_roots(difference)):
        for n in range(max(math.floor(root) - 2, course.at) + 1, math.floor(root) + 4):
            if n > course.last:
                return course.last
            if not alike(n):
                return n - 1
    return course.last


def _roots(p: Polynomial) -> Iterator[float]:
    """Where it is zero, or within its rounding of it."""
    for shifted in {p.constant - p.off, p.constant + p.off}:
        if p.square:
            inside = p.linear * p.linear - 4 * p.square * shifted
            if inside >= 0:
                yield (-p.linear - math.sqrt(inside)) / (2 * p.square)
                yield (-p.linear + math.sqrt(inside)) / (2 * p.square)
        elif p.linear:
            yield -shifted / p.linear


@dataclass(frozen=True)
class Piece:
    """A stretch of sizes on which every moment's bytes are one polynomial."""

    first: int
    last: int
    moments: tuple[Polynomial, ...]

    def fits(self, n: int, limit: int) -> bool | None:
        """Whether all moments are at most `limit` bytes; None where rounding decides."""
        answer: bool | None = True
        for moment in self.moments:
            at, doubt = moment.at(n), moment.doubt(n)
            if at - doubt > limit:
                return False
            if at + doubt > limit:
                answer = None
        return answer

    def largest(self, limit: int) -> int:
        """The largest size in it, to within one or two, that fits; `first − 1` for none."""
        ends = (moment.reaches(limit, self.last) for moment in self.moments)
        return max(self.first - 1, min(self.last, *ends))

    def follows(self, other: Piece) -> bool:
        """True when the bytes do not fall from the other's end to this one's beginning."""
        before = max(m.at(other.last) - m.doubt(other.last) for m in other.moments)
        return max(m.at(self.first) + m.doubt(self.first) for m in self.moments) >= before


def pieces(moments: Callable[[Any], Sequence[Any]], last: int) -> tuple[Piece, ...] | None:
    """The course of some moments' bytes from size 1 to `last`; None where it cannot be told or where it falls.

    >>> [(p.first, p.last) for p in pieces(lambda n: [min(n, 1024) * 7, 3000 + n * n if n > 1 else 0], 5000)]
    [(1, 1), (2, 1024), (1025, 5000)]
    """
    found: list[Piece] = []
    first = 1
    while first <= last:
        course = Course(first, last)
        try:
            sizes = moments(Size(first, Polynomial(0, 1), course))
        except TypeError:
            return None
        exact = tuple(size.polynomial if isinstance(size, Size) else Polynomial(size) for size in sizes)
        piece = Piece(first, course.last, exact)
        rising = all(moment.grows_from(first) for moment in exact) and (not found or piece.follows(found[-1]))
        if not rising or len(found) == MOST_PIECES:
            return None
        found.append(piece)
        first = course.last + 1
    return tuple(found)

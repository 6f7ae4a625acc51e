"""What a visitor can move in a view: types and bounds, for messages from the browser and for links alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peftcalc.checks import one_of

MOST_TEXT = 4000
"""Characters of a link's value; longer ones are not read."""


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`, whole or not."""

    low: float
    high: float
    whole: bool = False

    def checked(self, name: str, value: Any) -> float:
        """`value` if it is such a number.

        >>> Number(1, 64, whole=True).checked("rank", 8.0)
        8

        Raises:
            ValueError: it is not.
        """
        kind = "a whole number" if self.whole else "a number"
        good = isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high
        if not good or (self.whole and value != int(value)):
            got = f"{value:g}" if isinstance(value, float) else str(value)[:60]
            raise ValueError(f"{name} must be {kind} from {self.low:g} to {self.high:g}, got {got}")
        return int(value) if value == int(value) else float(value)

    def read(self, name: str, text: str) -> float:
        """The number that a link's text says."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        return self.checked(name, value)


@dataclass(frozen=True)
class Numbers:
    """A list of at most `most` numbers, each from `low` to `high`."""

    most: int
    low: float
    high: float

    def checked(self, name: str, value: Any) -> list[float]:
        """`value` if it is such a list.

        >>> Numbers(3, -9, 9).checked("row", [1, 2.5])
        [1, 2.5]

        Raises:
            ValueError: it is not.
        """
        if not isinstance(value, list | tuple) or len(value) > self.most:
            raise ValueError(f"{name} must be a list of at most {self.most} numbers, got {str(value)[:60]}")
        one = Number(self.low, self.high)
        return [one.checked(f"{name}[{place}]", item) for place, item in enumerate(value)]

    def read(self, name: str, text: str) -> list[float]:
        """The numbers that a link's text says, with commas between them."""
        if text.count(",") >= self.most:
            raise ValueError(f"{name} must be a list of at most {self.most} numbers, got {text[:60]}")
        one = Number(self.low, self.high)
        return [one.read(f"{name}[{place}]", item) for place, item in enumerate(text.split(","))] if text else []


@dataclass(frozen=True)
class Choice:
    """One of a few texts."""

    options: tuple[str, ...]

    def checked(self, name: str, value: Any) -> str:
        """`value` if it is one of them.

        Raises:
            ValueError: it is not.
        """
        return one_of(name, value if isinstance(value, str) else str(value)[:60], self.options)

    read = checked


@dataclass(frozen=True)
class Written:
    """A number as its text, which keeps its size: 1e-45, 3e38, and also -0, inf and nan."""

    most: int = 40

    def checked(self, name: str, value: Any) -> str:
        """`value` if it is such a text.

        >>> Written().checked("x", "1e-45")
        '1e-45'

        Raises:
            ValueError: it is not.
        """
        try:
            if isinstance(value, str) and len(value) <= self.most and value.isascii():
                float(value)
                return value.strip()
        except ValueError:
            pass
        raise ValueError(f"{name} must be a number as text of at most {self.most} characters, got {str(value)[:60]}")

    read = checked


Part = Number | Numbers | Choice | Written
State = dict[str, Any]


@dataclass(frozen=True)
class Scenes:
    """The parts of a view that shows one scene of several: which they are depends on the part "scene", from 1."""

    of: tuple[Mapping[str, Part], ...]

    def at(self, scene: Any) -> Mapping[str, Part]:
        """What can be moved in a scene, itself included.

        Raises:
            ValueError: there is none of this number.
        """
        number = Number(1, len(self.of), whole=True)
        read = number.read if isinstance(scene, str) else number.checked
        return {"scene": number, **self.of[int(read("scene", scene)) - 1]}


Parts = Mapping[str, Part] | Scenes


def checked(parts: Parts, state: Any) -> State:
    """What a browser sent, if it is a state of these parts; those that are absent stand where they began.

    >>> checked({"rank": Number(1, 8, whole=True)}, {"rank": 4})
    {'rank': 4}

    Raises:
        ValueError: another type, an unknown part, or a value outside its range.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"a state must be a mapping, got {type(state).__name__}")
    parts = parts.at(state.get("scene", 1)) if isinstance(parts, Scenes) else parts
    return {name: parts[one_of("part", str(name)[:60], parts)].checked(name, state[name]) for name in state}


def as_text(state: State, lead: str = "") -> str:
    """A state as it stands in a link; numbers with six digits after the point at most.

    >>> as_text({"rank": 4, "row": [1, -2.5], "format": "nf4"})
    'rank:4;row:1,-2.5;format:nf4'
    >>> as_text({"scene": 3, "rank": 4}, lead="scene")  # the link's parameter says its name already
    '3;rank:4'
    """
    return ";".join(_said(value) if name == lead else f"{name}:{_said(value)}" for name, value in state.items())


def from_text(parts: Parts, text: str, lead: str = "") -> State:
    """The state that a link's text says.

    >>> from_text({"rank": Number(1, 8, whole=True)}, "rank:4")
    {'rank': 4}

    Raises:
        ValueError: it is too long, or says a part that is unknown or outside its range.
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"a link's text must have at most {MOST_TEXT} characters, got {len(text)}")
    said: dict[str, str] = {}
    for pair in filter(None, text.split(";")):
        name, sign, value = pair.partition(":")
        said |= {name: value} if sign or not lead else {lead: name}
    parts = parts.at(said.get("scene", 1)) if isinstance(parts, Scenes) else parts
    return {name: parts[one_of("part", name[:60], parts)].read(name, value) for name, value in said.items()}


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_said, value))
    return value if isinstance(value, str) else f"{round(value, 6):.10g}"

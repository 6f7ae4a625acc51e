"""What a classroom is, beside its board, as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seat:
    """Somebody in the classroom: a nickname at most, and a number in the order of arrival, from 0."""

    number: int
    nickname: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Question:
    """A prediction that is open, or revealed."""

    key: str
    options: tuple[str, ...]
    revealed: bool = False


@dataclass(frozen=True)
class Order:
    """Where everybody is sent: a page's address and the settings of its controls."""

    number: int
    page: str
    parameters: Mapping[str, Any]


@dataclass
class State:
    """What a classroom is, beside its board: what is written."""

    seats: dict[str, Seat] = field(default_factory=dict)
    """By the mark of the visitor's token."""
    lesson: str = ""
    part: int = 0
    question: Question | None = None
    answers: dict[str, dict[str, str]] = field(default_factory=dict)
    """By question and mark."""
    order: Order | None = None
    orders: int = 0
    grid: list[dict[str, Any]] = field(default_factory=list)
    """Settings that are dealt out, in turn, to the seats."""
    cleared: float = 0.0
    """When the board was cleared last."""

    def begin(self, lesson: str) -> None:
        """A lesson at its first part; what was asked and answered before is forgotten."""
        self.lesson, self.part, self.question, self.order, self.grid = lesson, 0, None, None, []
        self.answers = {}


def mark(token: str) -> str:
    """What is kept of a visitor's token."""
    return hashlib.sha256(token.encode()).hexdigest()[:24]


def state_of(values: Mapping[str, Any]) -> State:
    """The state that `dataclasses.asdict` has written."""
    if not values:
        return State()
    question, order = values["question"], values["order"]
    return State(
        seats={mark: Seat(**seat) for mark, seat in values["seats"].items()},
        lesson=values["lesson"],
        part=values["part"],
        question=None
        if question is None
        else Question(question["key"], tuple(question["options"]), question["revealed"]),
        answers=values["answers"],
        order=None if order is None else Order(**order),
        orders=values["orders"],
        grid=values["grid"],
        cleared=values["cleared"],
    )

"""One classroom: its seats, question, orders, grid and board, in memory and in the history's file.

Every look of thirty visitors reads memory alone, and `version` says whether anything has changed. A change is written
by the history's thread; a server that starts again finds the classroom as it was (`restored`).
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from peftcalc.jobs.classroom import names
from peftcalc.jobs.classroom.register import DAY, room_row, write_state
from peftcalc.jobs.classroom.state import Order, Question, Seat, State, mark
from peftcalc.jobs.history.database import HistoryError
from peftcalc.jobs.history.history import History

PRESENT = 30.0
"""Seconds since the last look for which somebody counts as there."""
MOST_SEATS, MOST_RESULTS = 300, 5_000


class Room:
    """A classroom.

    Args:
        name: as `names.room_name` gives it.
        locked: of the teacher's key.
        history: where it is written; None for nowhere.
        made: when it began, of `time.time`.
        state: as it was before.
    """

    def __init__(
        self, name: str, locked: str, history: History | None, made: float | None = None, state: State | None = None
    ) -> None:
        self.name, self.history = name, history
        self.made = time.time() if made is None else made
        self.version = 0
        """Counts changes."""
        self.results_version = 0
        """Counts changes of the board."""
        self.heard: Callable[[], None] = lambda: None
        """Called after each change, from the thread that made it."""
        self._locked = locked
        self._state = state or State()
        self._seen: dict[str, float] = {}
        self._followed: dict[str, int] = {}
        self._results: list[dict[str, Any]] = []
        self._lock = threading.RLock()

    @property
    def expired(self) -> bool:
        """Whether its day is over."""
        return time.time() - self.made > DAY

    # The teacher

    def is_key(self, key: str) -> bool:
        """Whether this is the teacher's key: the latest that the terminal has made."""
        return names.fits(key, self._latest_lock())

    def begin(self, lesson: str) -> None:
        """Start a lesson at its first part; what was asked and answered before is forgotten."""
        self._change(lambda state: state.begin(lesson))

    def turn_to(self, part: int) -> None:
        """Another part of the lesson; a question that is open goes with the old one."""

        def act(state: State) -> None:
            state.part, state.question = part, None

        self._change(act)

    def ask(self, key: str, options: Sequence[str]) -> None:
        """Open a prediction."""

        def act(state: State) -> None:
            state.question = Question(key, tuple(options))
            state.answers[key] = {}

        self._change(act)

    def reveal(self) -> None:
        """Show how everybody answered; no answer comes in after that."""

        def act(state: State) -> None:
            if state.question is not None:
                state.question = Question(state.question.key, state.question.options, revealed=True)

        self._change(act)

    def send(self, page: str, parameters: Mapping[str, Any], grid: Sequence[Mapping[str, Any]] = ()) -> None:
        """Send everybody to a page.

        Args:
            page: its address.
            parameters: of its controls, for all.
            grid: settings of which each seat is given one, beside those for all.
        """

        def act(state: State) -> None:
            state.orders += 1
            state.order = Order(state.orders, page, dict(parameters))
            state.grid = [dict(cell) for cell in grid]

        self._change(act)

    def hide(self, number: int, hidden: bool = True) -> None:
        """Show no nickname of this seat."""

        def act(state: State) -> None:
            for seat in state.seats.values():
                seat.hidden = hidden if seat.number == number else seat.hidden

        self._change(act)

    def clear_board(self) -> None:
        """Take all results off the board; the history has them still."""

        def act(state: State) -> None:
            state.cleared = time.time()
            self._results = []
            self.results_version += 1

        self._change(act)

    # Who sits in it

    def join(self, token: str, nickname: str = "") -> Seat:
        """Take a seat, or find one's own again.

        Args:
            token: of the visitor, which nobody can guess; only its mark is kept.
            nickname: may be empty; where another has it, a number is added.

        Raises:
            ValueError: there is no seat left.
        """
        own = mark(token)
        with self._lock:
            seats = self._state.seats
            if own not in seats and len(seats) >= MOST_SEATS:
                raise ValueError(f"This classroom is full: it has {MOST_SEATS} seats.")
            seat = seats.get(own) or Seat(max((one.number for one in seats.values()), default=-1) + 1)
            others = {one.nickname for key, one in seats.items() if key != own}
            name = names.nickname(nickname)
            seat.nickname = names.distinct(name, others) if name else ""
            self._seen[own] = time.monotonic()
            self._change(lambda state: state.seats.__setitem__(own, seat))
            return seat

    def seat(self, token: str) -> Seat | None:
        """The visitor's seat, who is looking now; None for whoever has not joined."""
        own = mark(token)
        seat = self._state.seats.get(own)
        if seat is not None:
            self._seen[own] = time.monotonic()
        return seat

    def answer(self, token: str, option: str) -> bool:
        """Answer the open question, once; False where it is not open, was answered, or has no such option."""
        own, taken = mark(token), False

        def act(state: State) -> None:
            nonlocal taken
            question = state.question
            if question is None or question.revealed or option not in question.options or own not in state.seats:
                return
            answers = state.answers.setdefault(question.key, {})
            taken = own not in answers
            answers.setdefault(own, option)

        self._change(act)
        return taken

    def answered(self, token: str) -> str | None:
        """What the visitor has answered to the question of now."""
        question = self._state.question
        return None if question is None else self._state.answers.get(question.key, {}).get(mark(token))

    def part_of_grid(self, token: str) -> dict[str, Any]:
        """What this seat was given of the grid; whoever comes late is given the next."""
        seat, grid = self._state.seats.get(mark(token)), self._state.grid
        return dict(grid[seat.number % len(grid)]) if seat is not None and grid else {}

    def newest_order(self, token: str, seen: int | None) -> Order | None:
        """Where the visitor is to go now; None when nothing is new.

        Args:
            token: of the visitor.
            seen: the number of the last order that this tab has followed; None for a tab that was just opened, which
                stays where another tab of the visitor, or itself before a reload, has followed already.
        """
        order, own = self._state.order, mark(token)
        last = self._followed.get(own, 0) if seen is None else seen
        if order is None or order.number <= last:
            return None
        self._followed[own] = order.number
        return order

    # What is known

    @property
    def lesson(self) -> str:
        return self._state.lesson

    @property
    def part(self) -> int:
        return self._state.part

    @property
    def question(self) -> Question | None:
        return self._state.question

    @property
    def order(self) -> Order | None:
        return self._state.order

    @property
    def seats(self) -> list[Seat]:
        """In the order of arrival."""
        with self._lock:
            return sorted(self._state.seats.values(), key=lambda seat: seat.number)

    @property
    def present(self) -> int:
        """How many have looked within the last half minute."""
        now = time.monotonic()
        return sum(now - seen < PRESENT for seen in list(self._seen.values()))

    def counts(self) -> dict[str, int]:
        """How often each option of the question was chosen; no name beside it."""
        question = self._state.question
        if question is None:
            return {}
        with self._lock:
            given = Counter(self._state.answers.get(question.key, {}).values())
        return {option: given[option] for option in question.options}

    @property
    def results(self) -> list[dict[str, Any]]:
        """What the runs of this classroom came to, since the board was cleared."""
        with self._lock:
            return list(self._results)

    def add(self, results: Sequence[Mapping[str, Any]], ended: float | None = None) -> None:
        """What a run came to."""
        with self._lock:
            if (time.time() if ended is None else ended) < self._state.cleared:
                return
            room = MOST_RESULTS - len(self._results)
            self._results += [dict(result) for result in results[:room]]
            self.results_version += 1
            self.version += 1
        self.heard()

    # The file

    def _change(self, act: Callable[[State], None]) -> None:
        with self._lock:
            act(self._state)
            self.version += 1
            text = json.dumps(asdict(self._state))
        self.heard()
        if self.history is not None:
            self.history.ask(lambda connection: write_state(connection, self.name, text))

    def _latest_lock(self) -> str:
        try:
            found = None if self.history is None else room_row(self.history, self.name)
        except HistoryError:
            found = None
        return found[2] if found else self._locked

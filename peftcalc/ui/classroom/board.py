"""The board: all runs of the classroom as one picture, or without a classroom a stored example."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import streamlit as st

from peftcalc.jobs.classroom.room import Room
from peftcalc.lab.runs.kept_race import race_results
from peftcalc.lab.stored_runs import stored_run
from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.ui import page
from peftcalc.ui.classroom import calls, here
from peftcalc.ui.train import front

EVERY, EVERY_OWN = 0.8, 1.6
"""Seconds between two pictures of a board to which runs come, at the least: of the one that all look at, which is the
teacher's or the projector's, and of a learner's."""
EXAMPLES = ("magnitude", "magnitude-rank-1")
"""Stored runs that stand in for a class."""


def board() -> None:
    """The picture, its choices, and the teacher's button that clears it."""
    room = here.open_room()
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        view, cost = front.choices()
        if room is not None and here.is_teacher():
            with st.popover("Clear", type="tertiary"):
                st.button("Clear the board for everybody", on_click=room.clear_board, key="clear-board")
    if room is None:
        page.badge("stored run", "an example; the board of a class looks like this")
        front.show_picture(_example_picture(view, cost), "board")
    else:
        st.fragment(_look, run_every=calls.rest())(room, view, cost)


def _look(room: Room, view: str, cost: str) -> None:
    calls.follow(lambda: room.results_version, EVERY if here.is_teacher() or page.projector() else EVERY_OWN)
    if here.open_room() is not room:  # its day is over
        st.rerun()
    board = _boards.setdefault(room, Board())
    tasks = board.by_task(room)
    if not tasks:
        st.markdown("#### The board is empty")
        st.markdown("Every run that somebody of this classroom finishes on **Train** appears here by itself.")
        return
    names = list(tasks)
    task = names[0]
    if len(names) > 1:
        task = st.segmented_control(
            "Task", names, default=task, required=True, key="board-task", format_func=lambda name: TASKS[name].title
        )
    front.show_picture(board.picture(tasks.get(task, tasks[names[0]]), view, cost), "board")


class Board:
    """The results of a classroom as runs and as pictures: each is read, and drawn, once for all who look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = -1
        self._read: list[dict[str, Any]] = []
        self._runs: dict[str, list[FinishedRun]] = {}
        self._tasks: dict[str, SweepResults] = {}
        self._pictures: dict[tuple[int, str, str], front.Picture] = {}

    def by_task(self, room: Room) -> dict[str, SweepResults]:
        """By task, that with the most runs first."""
        with self._lock:
            version = room.results_version
            if version != self._version:
                self._take(room.results)
                self._version = version
            return self._tasks

    def picture(self, results: SweepResults, view: str, cost: str) -> front.Picture:
        """Of runs that `by_task` gave."""
        with self._lock:
            found = self._pictures.get((id(results), view, cost))
            if found is None:
                found = front.drawn(results, view, cost)
                if any(results is one for one in self._tasks.values()):
                    self._pictures[id(results), view, cost] = found
            return found

    def _take(self, results: list[dict[str, Any]]) -> None:
        if self._read and (not results or results[0] is not self._read[0]):  # it was cleared
            self._read, self._runs = [], {}
        for values in results[len(self._read) :]:
            run = _run(values)
            if run is not None:
                self._runs.setdefault(run.settings.task, []).append(run)
        self._read = results
        names = sorted(self._runs, key=lambda name: -len(self._runs[name]))
        self._tasks = {name: SweepResults(tuple(self._runs[name])) for name in names}
        self._pictures = {}


_boards: WeakKeyDictionary[Room, Board] = WeakKeyDictionary()


def _run(values: dict[str, Any]) -> FinishedRun | None:
    try:
        return FinishedRun.from_dict(values)
    except ValueError:  # of another version
        return None


@lru_cache(maxsize=8)
def _example_picture(view: str, cost: str) -> front.Picture:
    return front.drawn(_example(), view, cost)


@lru_cache(maxsize=1)
def _example() -> SweepResults:
    races = [stored_run(name).board for name in EXAMPLES]
    return SweepResults(tuple(FinishedRun.from_dict(one) for race in races for one in race_results(race)))

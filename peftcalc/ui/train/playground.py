"""The picture of a race on the page: the visitor's own as it goes on, or a stored one, in one place.

While a run goes on this fragment alone runs again, five times a second; it draws nothing but the picture. When the run
begins, pauses or ends, the whole page runs once, for its buttons and for what is told of a run that is through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import streamlit as st

from peftcalc.jobs.job import Job
from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.stored_runs import stored_names, stored_run
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.ui import live
from peftcalc.ui.classroom import calls
from peftcalc.ui.components.weights import Told, unchanged, weights, whole_race
from peftcalc.ui.history import shown
from peftcalc.ui.train import pace
from peftcalc.ui.train.buttons import LOOK, RACE, SLOT
from peftcalc.ui.train.controls import DEFAULT_TASK

FAST, SLOW = 0.2, 1.0
"""Seconds between two looks at a run that goes on, and at one that rests."""
NEXT, A_PLACE, SLOWEST = 0.5, 0.1, 3.0
"""Seconds between two looks at a run that waits: when it is the next, for each that comes before it, at most."""
_DRAWN, _TOLD, _WHOLE, _LEARNED = "_train_drawn", "_train_told", "_train_whole", "_train_learned"


def show(key: str) -> None:
    """The picture, looked at again as long as the visitor's run is alive; `key` names it as a part of the page."""
    job = live.current(SLOT)
    st.session_state[_DRAWN] = job and job.state
    st.session_state[_WHOLE] = True
    if job is not None and job.state == "done" and st.session_state.get(_LEARNED) is not job:
        st.session_state[_LEARNED] = job
        pace.learn(st.session_state[RACE].race, job)
    every = None if job is None or not job.alive else FAST if job.state == "running" else SLOW
    st.fragment(_look, run_every=every, key=key)()


def own_board() -> RaceResults | None:
    """The visitor's own race, once there is something of it to show."""
    board: RaceResults | None = st.session_state.get(RACE)
    job = live.current(SLOT)
    if job is None or board is None:
        return None
    board.read(job.records)
    return board if board.begun else None


@dataclass(frozen=True)
class StandIn:
    """A race that is shown as long as there is none of one's own."""

    board: RaceResults
    name: str
    status: str
    mark: str
    """In two words what it is."""


def stand_in() -> StandIn:
    """The kept race that the link names, or a stored one of the chosen task."""
    kept = shown.kept_race()
    if kept is not None:
        return StandIn(kept.board, f"kept {kept.run.id}", kept.status, "Kept run")
    name = stored_name()
    board, chosen = stored_run(name).board, st.session_state.get("task", DEFAULT_TASK)
    mark = "Recorded earlier" if board.race.task == chosen else f"Recorded on {TASKS[board.race.task].title}"
    return StandIn(board, f"stored {name}", _made(name), mark)


def stored_name() -> str:
    """The stored race that stands in for a run: of the chosen task, where there is one."""
    task = st.session_state.get("task", DEFAULT_TASK)
    name = pace.LIKE.get(task, task)
    return name if name in stored_names() else DEFAULT_TASK


ABOUT = {
    "magnitude": "At first 64 rows have wrong lengths. DoRA has a number for each, LoRA four directions for all · "
}
"""What is wrong at first, of a task whose name does not say it."""


def summary(race: Race, named: bool = True) -> str:
    """What was raced, in one line, with the task's name or without."""
    own = race.settings(race.methods[0], race.seeds[0])
    seeds = f"seed {race.seeds[0]}" if len(race.seeds) == 1 else f"seeds {race.seeds[0]} to {race.seeds[-1]}"
    options = [value for value in own.options.values() if isinstance(value, str) and value]
    what = ", ".join([TASKS[race.task].title, *options] if named else options)
    return f"{what}{': ' * bool(what)}rank {race.rank}, alpha {race.alpha:g}, {own.steps} steps, {seeds}"


def _look() -> None:
    job = live.current(SLOT)
    if (job and job.state) != st.session_state.get(_DRAWN):
        st.rerun()
    if job is not None and job.alive:
        live.queue().touch(job)
    if job is not None and job.state == "waiting":
        calls.ask_again(min(SLOWEST, NEXT + A_PLACE * live.queue().standing(job).ahead))
    chosen = weights(*_data(job, st.session_state.pop(_WHOLE, False)))
    st.session_state["_look"] = chosen
    if job is not None and job.alive and chosen.get("matrix", "") != job.parts[0].parameters.get("watch"):
        live.queue().change(job, watch=chosen.get("matrix", ""))


def _data(job: Job | None, whole: bool) -> tuple[Mapping[str, Any], str, str]:
    """What `weights` takes."""
    board = own_board()
    if job is None or board is None:
        other = stand_in()
        if job is None or not job.alive:
            return _whole(other.board, other.name), LOOK, _written(other.board, other.name, other.status)
        waiting = f"{live.standing(job)} · meanwhile a {other.name.partition(' ')[0]} run"
        shown = _whole(other.board, other.name) if whole else _unchanged(other.board, other.name)
        return {**shown, "status": waiting}, LOOK, ""
    run, status = f"{job.parts[0].number}", live.standing(job) if job.alive else f"measured: {summary(board.race)}"
    of, told = st.session_state.get(_TOLD, ("", Told()))
    if of != run:  # the first that is told of it leaves nothing out, also where it pauses and nothing follows
        whole = True
    if whole:
        told = Told()
    st.session_state[_TOLD] = run, told
    tail = told.tail(board, run, status, st.session_state.get("_look", {}).get("method", "dora"))
    return whole_race(board, run, status, job.alive) if whole or not job.alive else tail, LOOK, ""


def _made(name: str) -> str:
    stored, chosen = stored_run(name), st.session_state.get("task", DEFAULT_TASK)
    return f"{ABOUT.get(name, '')}stored run: {summary(stored.race, name != chosen)}, {stored.made.split(',')[0]}"


@lru_cache(maxsize=16)
def _whole(board: RaceResults, name: str) -> dict[str, Any]:
    return whole_race(board, name, "")


@lru_cache(maxsize=16)
def _unchanged(board: RaceResults, name: str) -> dict[str, Any]:
    return unchanged(_whole(board, name))


@lru_cache(maxsize=16)
def _written(board: RaceResults, name: str, status: str) -> str:
    """A race that is over, written once for everybody who looks at it: some 200 kilobytes."""
    return json.dumps({**_whole(board, name), "status": status}, separators=(",", ":"))

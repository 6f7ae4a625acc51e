"""The live view: start a job, look at it once a second while it runs, pause it, step it, stop it.

    if st.button("Train"):
        live.submit("train", "finetune", parts)       # one job a slot; the one before it is ended
    live.watch("train", draw)                         # the bar, and draw(job) again at each look

A job lives in its session's slot and nowhere else: no link leads to another visitor's. Looking keeps it alive.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from peftcalc import units
from peftcalc.jobs.classroom.names import ROOM_VARIABLE
from peftcalc.jobs.engines import chosen
from peftcalc.jobs.engines.addresses import from_environment
from peftcalc.jobs.engines.chosen import open_queue
from peftcalc.jobs.job import Job
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits
from peftcalc.outside_files import said
from peftcalc.ui.page import escape

ROOMS_WITH_WORK = ("peftcalc.lab.work", "peftcalc.memory.simulate.work")
"""What visitors may ask the workers for: each module's `KINDS`."""

CLASS_LIMITS = Limits(jobs_of_visitor=1, waiting=400, parked=2, running=90.0, paused=300.0, away=900.0)
"""Of a server with a classroom: thirty want to run at once, and look at the board while their own run waits."""

AGAIN = 1
"""How often a run is begun again whose worker was lost, where workers come and go."""

EVERY = 1.0
"""Seconds between two looks at a running job."""


@st.cache_resource(show_spinner=False, on_release=JobQueue.close)
def queue() -> JobQueue:
    """The one queue of this server; its workers start with the first page that asks for it."""
    limits = CLASS_LIMITS if os.environ.get(ROOM_VARIABLE) else Limits()
    address = from_environment()
    again = 0 if address is None else AGAIN
    return open_queue(address, ROOMS_WITH_WORK, replace(limits, again=again))


def engine_line() -> str:
    """Which engine trains, with how many workers, and what is lost when it goes away; who was refused."""
    return " ".join([chosen.engine_line(queue()), *(f"Refused: {one}." for one in queue().engine.refusals)])


def visitor() -> str:
    """This session's token, which nobody can guess and no link holds."""
    return st.session_state.setdefault("_visitor", secrets.token_urlsafe(16))


def submit(slot: str, kind: str, parts: Sequence[Mapping[str, Any]], until: int | None = None) -> Job | None:
    """Start a job in a slot of this session; the slot's job before it is ended and forgotten.

    Args:
        slot: a name of the page's own.
        kind: a kind of work that one of `ROOMS_WITH_WORK` offers.
        parts: parameters of what can run side by side.
        until: a step at which it pauses.

    Returns:
        The job; None when it was refused, and `watch` shows the sentence.
    """
    clear(slot)
    try:
        job = queue().submit(visitor(), kind, parts, until)
    except ValueError as error:
        st.session_state[_refusal(slot)] = str(error)
        return None
    st.session_state[_key(slot)] = job
    return job


def current(slot: str) -> Job | None:
    """The slot's job: alive, ended, or none."""
    return st.session_state.get(_key(slot))


def clear(slot: str) -> None:
    """End and forget the slot's job, with its records and files."""
    st.session_state.pop(_refusal(slot), None)
    job = st.session_state.pop(_key(slot), None)
    if job is not None:
        queue().stop(job)


def train_button(slot: str, label: str, train: Callable[..., None], args: tuple[Any, ...]) -> None:
    """A button that starts a slot's job by `train(*args)`, and one that forgets the job once there is one."""
    # By these keys the style puts both below the guess where the page is one column.
    st.button(label, icon=":material/play_arrow:", width="stretch", on_click=train, args=args, key=f"run-{slot}")
    if current(slot) is not None:
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            width="stretch",
            on_click=clear,
            args=(slot,),
            key=f"run-{slot}-reset",
        )


def watch(slot: str, draw: Callable[[Job], None]) -> None:
    """The slot's job: its bar with place, progress, time left and buttons, and below it `draw(job)`.

    Runs again once a second while the job is alive. When it has ended, the whole page runs again, once.
    """
    refused(slot)
    job = current(slot)
    if job is None:
        return
    if not job.alive:
        ending(job)
        draw(job)
        return
    st.fragment(_look, run_every=EVERY)(slot, draw)


def _look(slot: str, draw: Callable[[Job], None]) -> None:
    job = current(slot)
    if job is None or not job.alive:
        st.rerun()
    queue().touch(job)
    _bar(slot, job)
    draw(job)


def _bar(slot: str, job: Job) -> None:
    """How far it is, and what can be done."""
    st.progress(job.progress, text=standing(job))
    with st.container(horizontal=True, gap="small"):
        if job.state == "running":
            _button(slot, "Pause", ":material/pause:", queue().pause, job)
        elif job.state == "paused":
            _button(slot, "Go on", ":material/play_arrow:", queue().resume, job)
            _button(slot, "One step", ":material/skip_next:", queue().step, job)
        _button(slot, "Stop", ":material/stop:", queue().stop, job)


def _button(slot: str, label: str, icon: str, act: Callable[[Job], None], job: Job) -> None:
    st.button(label, icon=icon, key=f"{slot}-{label}", on_click=act, args=(job,))


def refused(slot: str) -> None:
    """The sentence of a job that was refused."""
    refusal = st.session_state.get(_refusal(slot))
    if refusal:
        st.warning(escape(refusal), icon=":material/hourglass_disabled:")


def failed(slot: str) -> None:
    """Why the slot's job has failed, where it has: above the picture, which is of what was told before."""
    job = current(slot)
    if job is not None and job.state == "failed":
        ending(job)


def standing(job: Job) -> str:
    """How far a job is, in words."""
    if job.state == "waiting":
        if not queue().ready:
            return "The workers are starting …"
        place = queue().standing(job)
        before = f"{place.ahead} before yours" if place.ahead else "yours is next"
        return f"Waiting for a worker: {before}, about {units.seconds(max(1, round(place.seconds)))}"
    if job.step < 0:
        begun = any(part.step >= 0 for part in job.parts)  # the parts wait for workers of their own
        return "Training; some of it still waits for a worker" if begun else "Loading the base model …"
    if job.state == "paused":
        return f"Paused at {reached(job)}"
    again = "Training, begun again after its worker was lost" if job.notes else "Training"
    return f"{again}: {reached(job)}{time_left(job)}"


def time_left(job: Job) -> str:
    """What is said behind a running job's state, in whole seconds; nothing before there is a pace."""
    left = job.seconds_left
    return f", about {units.seconds(max(1, round(left)))} left" if math.isfinite(left) else ""


def reached(job: Job) -> str:
    """The step of a job; of one whose parts are not equally far, since each has a worker of its own, the slowest
    part's and the fastest's."""
    low, high = max(0, job.step), max(0, *(part.step for part in job.parts))
    return f"step {low}" if low == high else f"steps {low} to {high}"


def ending(job: Job) -> None:
    """Why a job ended before it was through, and what happened to it under way."""
    notes(job)
    if job.state == "failed":
        st.error(escape(said(job.message)), icon=":material/error:")
    elif job.state == "stopped":
        st.info(escape(f"Stopped at {reached(job)}. {job.message}"), icon=":material/stop_circle:")


def notes(job: Job) -> None:
    """What happened to a job under way: a worker that was lost."""
    for note in job.notes:
        st.info(escape(note), icon=":material/replay:")


def _key(slot: str) -> str:
    return f"_job_{slot}"


def _refusal(slot: str) -> str:
    return f"_refused_{slot}"

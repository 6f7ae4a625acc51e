"""How long a race takes on this server: the stored run's time a step, times what this server has needed of it."""

from __future__ import annotations

import streamlit as st

from peftcalc.jobs.job import Job
from peftcalc.lab.race import Race
from peftcalc.lab.stored_runs import stored_names, stored_run
from peftcalc.ui import live

NEW = 0.5
"""Weight of the last race beside those before it."""
SHORT = 5.0
"""Seconds below which a race tells nothing of other tasks: the messages about it take longer than its steps."""
MOST = 5.0
"""Times as long: one race on a busy moment must not forbid the next, from which this server would learn better."""
ANY = ""
LIKE = {"own": "names"}
"""Of a task without a stored run, the one with the same model."""


@st.cache_resource(show_spinner=False)
def factors() -> dict[str, float]:
    """By task, and under `ANY` over all of them: how many times as long races have taken here. Nothing of who ran."""
    return {}


def seconds(race: Race) -> float:
    """About how long it takes when nobody waits; 0 where nothing is known."""
    known = factors()
    return _stored(race) * known.get(race.task, known.get(ANY, 1.0))


def measured(race: Race) -> bool:
    """Whether this server has run a race that tells how long this one takes."""
    return race.task in factors() or ANY in factors()


def learn(race: Race, job: Job) -> None:
    """A race is through."""
    expected, took = _stored(race), max(part.earlier for part in job.parts)
    if not expected:
        return
    factor = min(MOST, took / expected)
    for name in (race.task, ANY) if expected >= SHORT else (race.task,):
        factors()[name] = (1 - NEW) * factors().get(name, factor) + NEW * factor


def _stored(race: Race) -> float:
    """At the pace of the stored run; 0 without one."""
    name = LIKE.get(race.task, race.task)
    paces = stored_run(name).board.paces() if name in stored_names() else {}
    return race.seconds(paces, live.queue().workers) if paces else 0.0

"""How long a race takes on this server: the stored run's time a step, times what this server has needed of it."""

from __future__ import annotations

import streamlit as st

from peftcalc.jobs.job import Job
from peftcalc.lab.race import Race
from peftcalc.lab.stored_runs import stored_names, stored_run
from peftcalc.ui import live

NEW = 0.5
"""Weight of the last race beside those before it."""
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


def measured() -> bool:
    """Whether this server has run a race."""
    return ANY in factors()


def learn(race: Race, job: Job) -> None:
    """A race is through."""
    expected, took = _stored(race), max(part.earlier for part in job.parts)
    if not expected:
        return
    for name in (race.task, ANY):
        factors()[name] = (1 - NEW) * factors().get(name, took / expected) + NEW * took / expected


def _stored(race: Race) -> float:
    """At the pace of the stored run; 0 without one."""
    name = LIKE.get(race.task, race.task)
    paces = stored_run(name).board.paces() if name in stored_names() else {}
    return race.seconds(paces, live.queue().workers) if paces else 0.0

"""A sweep on the page: a grid of methods, ranks, learning rates and seeds, in the workers, drawn while it comes.

While it goes on one fragment alone runs again; it draws what has ended so far. What has ended is kept, and its link
opens it again.
"""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from peftcalc.jobs.job import Job
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.lab.sweeps.kept_sweep import KeepableSweep
from peftcalc.lab.sweeps.plan import SWEPT_TASKS, SweepPlan, SweepTold
from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.methods import METHODS
from peftcalc.ui import live, page, show, state
from peftcalc.ui.classroom import here
from peftcalc.ui.drawer import Drawer
from peftcalc.ui.history import shown
from peftcalc.ui.train import front
from peftcalc.ui.train.results import COLUMNS, FORMATS, note

SLOT = "sweep"
EVERY = 0.5
"""Seconds between two looks at a sweep that goes on."""
PLAN = SweepPlan()
"""What is stored, and what the controls say at first."""
RANKS = (1, 2, 4, 8, 16, 32, 64)
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
SEEDS = (1, 2, 3, 5, 8)
STEPS = (20, 50, 100, 200, 300)
ALPHAS = (1, 4, 16, 64, 256)
_TOLD, _DRAWN = "_sweep_told", "_sweep_drawn"


def sweep() -> None:
    """Controls left; right what has ended so far, below it the table and the code."""
    controls, result = page.controls_and_result("sweep", 0.32)
    with controls:
        st.fragment(_controls)()
    job = live.current(SLOT)
    with result:
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            view, cost = front.choices("grid-")
        shown.note()
        st.session_state[_DRAWN] = job and job.state
        every = EVERY if job is not None and job.alive else None
        st.fragment(_look, run_every=every)(view, cost)
    _told_of(_results()[0], job)


def _controls() -> None:
    plan = None
    with page.errors_as_sentences():
        plan = _plan()
    job = live.current(SLOT)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        alive = job is not None and job.alive
        if st.button("Sweep", type="primary", icon=":material/grid_view:", key="sweep-go", disabled=alive or not plan):
            _begin(plan)
        if st.button("Stop", icon=":material/stop:", key="sweep-stop", disabled=not alive) and job is not None:
            live.queue().stop(job)
            st.rerun()
        if plan is not None:
            note(f"{len(plan.runs())} runs of {plan.steps} steps")
    live.refused(SLOT)
    live.failed(SLOT)
    state.link_notes()


def _plan() -> SweepPlan:
    """What the controls say.

    Raises:
        ValueError: nothing is chosen, or too much.
    """
    task = state.menu("Task", SWEPT_TASKS, "grid-task", PLAN.task, lambda name: TASKS[name].title)
    methods = state.several("Methods", list(METHODS), "grid-methods", PLAN.methods, lambda name: METHODS[name].label)
    ranks = state.several("Ranks", RANKS, "grid-ranks", PLAN.ranks, str)
    rates = state.several("Learning rates; none: as suggested", RATES, "grid-rates", (), lambda rate: f"{rate:g}")
    seeds = state.slider("Seeds", SEEDS, "grid-seeds", PLAN.seeds)
    drawer = Drawer("More", "sweep", width="stretch")
    steps = drawer.slider("Steps", STEPS, "grid-steps", PLAN.steps)
    alpha = drawer.slider("Alpha", ALPHAS, "grid-alpha", int(PLAN.alpha))
    options = {
        name: drawer.menu(name.capitalize(), list(allowed), f"grid-{name}", TASKS[task].options[name])
        for name, allowed in TASKS[task].choices.items()
    }
    chosen = tuple(name for name in METHODS if name in methods)
    return SweepPlan(task, chosen, tuple(sorted(ranks)), tuple(sorted(rates)), alpha, seeds, steps, options)


def _begin(plan: SweepPlan | None) -> None:
    """Into the line, and into the history."""
    if plan is None:
        return
    shown.forget_link()
    st.session_state[_TOLD] = SweepTold(plan)
    job = live.submit(SLOT, "stacked", plan.parts(live.queue().workers))
    if job is not None:
        here.keep(job, KeepableSweep(plan))
    st.rerun()


def _look(view: str, cost: str) -> None:
    job = live.current(SLOT)
    if (job and job.state) != st.session_state.get(_DRAWN):
        st.rerun()
    results, said = _results()
    if job is not None and job.alive:
        live.queue().touch(job)
        st.progress(job.progress, _standing(job, results))
        if not results.runs:
            results, said = _stored()
            note(page.escape(f"meanwhile a {said}"))
    else:
        note(page.escape(said))
    if results.runs:
        front.picture(results, view, cost, "sweep")


def _standing(job: Job, results: SweepResults) -> str:
    if job.state == "waiting" or job.step < 0:
        return live.standing(job)
    again = ". A worker was lost: its runs are begun again" if job.notes else ""
    return f"{len(results.runs)} of {len(_own().plan.runs())} runs are through{live.time_left(job)}{again}"


def _own() -> SweepTold:
    return st.session_state[_TOLD]


def _results() -> tuple[SweepResults, str]:
    """What is shown, and where it comes from: the visitor's own sweep, the kept one of the link, or the stored one."""
    job = live.current(SLOT)
    if job is not None and _TOLD in st.session_state:
        told = _own()
        told.read(job.records)
        return told.results, f"measured: {told.plan.title}"
    kept = shown.kept_sweep()
    return (kept.results, kept.status) if kept is not None else _stored()


@lru_cache(maxsize=1)
def _stored() -> tuple[SweepResults, str]:
    stored, told = stored_lesson("sweep"), SweepTold(PLAN)
    told.read(stored.records)
    return told.results, f"stored run: {PLAN.title}, {stored.made.split(',')[0]}"


def _told_of(results: SweepResults, job: Job | None) -> None:
    """How it ended, the table, and the code."""
    if job is not None and job.alive:
        return
    if job is not None and job.state != "failed":  # else it stands beside the controls
        live.ending(job)
    if results.runs:
        st.subheader("The table", anchor=False)
        name = f"sweep-{results.runs[0].settings.task}"
        frame = results.to_frame()
        front_of = {cell.label for cell in results.pareto()}
        frame.insert(0, "front", ["★" if cell.label in front_of else "" for cell in results.cells()])
        named = {**COLUMNS, "front": "Front", "learning_rate": "Learning rate", "diverged": "Diverged"}
        show.table(
            frame.rename(columns=named), name, "Each combination, the lowest held-out loss first", True, **FORMATS
        )
        note("★ on the front: nothing that trains fewer numbers loses less. Loss: mean over the seeds, ± 95 %.")
    with st.expander("The code that repeats it"):
        plan = _own().plan if job is not None and _TOLD in st.session_state else PLAN
        show.code(plan.to_code(), f"sweep-{plan.task}.py")

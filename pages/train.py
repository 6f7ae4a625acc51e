"""What happens when it learns? One to five methods race on a task, live."""

from __future__ import annotations

from typing import Any

import streamlit as st

from peftcalc import units
from peftcalc.jobs.job import Job
from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.stored_runs import stored_names, stored_run
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.lab.tasks.task import Task
from peftcalc.methods import METHODS
from peftcalc.ui import live, page, race_view, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.train import LESSON

SLOT = "train"
RANKS = (1, 2, 4, 8, 16, 32, 64)
ALPHAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
DROPOUTS = (0.0, 0.05, 0.1, 0.3)
RATES = (0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
STEPS = (0, 10, 25, 50, 100, 200, 300, 500)
OWN = "as suggested"
SUGGESTED_STEPS = {"names": 50}
"""Fewer than the task's own: five methods are then through within twenty seconds on two cores."""


def main() -> None:
    page.open_page(
        "What happens when it learns?",
        "Choose a task and press **Train**: the methods learn it side by side, on a real small model, on this server. "
        "Until then you see a run that was made earlier.",
    )
    lessons.show_presets(LESSON, "train")
    controls, result = st.columns([1, 3], gap="large")
    with controls, page.errors_as_sentences():
        race = _choose()
        affordable = _show_cost(race)
        st.button(
            "Train",
            icon=":material/play_arrow:",
            type="primary",
            width="stretch",
            on_click=_train,
            args=(race,),
            disabled=not affordable,
        )
        if live.current(SLOT) is not None:
            st.button("Reset", icon=":material/restart_alt:", width="stretch", on_click=live.clear, args=(SLOT,))
    state.link_notes()
    with result:
        _show_result()
    lessons.show_prediction(LESSON, "train")
    lessons.show_try_this(LESSON, "train")
    _explain(TASKS[st.session_state["task"]])


def _choose() -> Race:
    """The controls, as a race."""
    name = state.menu("Task", list(TASKS), "task", "names", lambda key: TASKS[key].title)
    methods = state.several("Methods", list(METHODS), "methods", list(METHODS), lambda key: METHODS[key].label)
    rank = state.slider("Rank", RANKS, "rank", 8)
    alpha = state.slider("Alpha", ALPHAS, "alpha", 16)
    race_view.note(f"Scaling α / r = {alpha / rank:g}")
    options = _task_options(TASKS[name])
    with st.expander("Learning rate, steps, seeds, dropout, device"):
        rate = state.slider("Learning rate", RATES, "lr", 0.0, lambda value: f"{value:g}" if value else OWN)
        steps = state.slider("Steps", STEPS, "steps", 0, lambda value: str(value) if value else OWN)
        dropout = state.slider("Dropout", DROPOUTS, "dropout", 0.0)
        decay = state.slider("Weight decay", (0.0, 0.01, 0.1, 0.3), "decay", 0.0)
        seeds = state.slider("Seeds", (1, 2, 3, 5), "seeds", 1)
        first = state.slider("First seed", range(10), "seed", 0)
        device = _device()
    return Race(
        task=name,
        methods=tuple(method for method in METHODS if method in methods),
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        learning_rate=rate or None,
        weight_decay=decay,
        steps=steps or SUGGESTED_STEPS.get(name),
        seeds=tuple(range(first, first + seeds)),
        device=device,
        options=options,
    )


def _task_options(task: Task) -> dict[str, Any]:
    """The task's own named choices."""
    return {
        name: state.menu(name.replace("_", " ").capitalize(), list(allowed), name, task.options[name])
        for name, allowed in task.choices.items()
    }


def _device() -> str:
    """What there is to train on, by name, once a worker has told."""
    titles = dict(live.queue().devices) or {"cpu": "CPU"}
    return state.menu("Device", list(titles), "device", next(iter(titles)), lambda key: titles[key])


def _show_cost(race: Race) -> bool:
    """About how long it will take; False for more than one visitor may have, with what would do."""
    paces = stored_run(race.task).board.paces() if race.task in stored_names() else {}
    if not paces:
        return True
    seconds, limit = race.seconds(paces, live.queue().workers), live.queue().limits.running
    if seconds <= limit:
        race_view.note(f"About {units.seconds(max(1.0, seconds))} when nobody waits")
        return True
    steps = race.settings(race.methods[0], race.seeds[0]).steps
    works = max((option for option in STEPS if option and option * seconds / steps <= limit), default=0)
    advice = f"{works} steps would do" if works else "fewer methods or seeds would do"
    st.warning(f"That takes about {units.seconds(seconds)}; this server gives a run {units.seconds(limit)}: {advice}.")
    return False


def _train(race: Race) -> None:
    st.session_state["_race"] = RaceResults(race)
    live.submit(SLOT, "finetune", race.parts(live.queue().workers))


def _show_result() -> None:
    """The visitor's own race; a stored one as long as there is nothing to see of it."""
    job = live.current(SLOT)
    live.watch(SLOT, _look)
    board: RaceResults | None = st.session_state.get("_race")
    if job is not None and board is not None:
        board.read(job.records)
        if not job.alive and board.begun:
            race_view.results(board, job)
        if board.begun:
            return
    name = st.session_state.get("task", "names")
    _show_stored(name if name in stored_names() else "names")


def _look(job: Job) -> None:
    board: RaceResults = st.session_state["_race"]
    was_empty = not board.begun
    board.read(job.records)
    if not board.begun:
        return
    if was_empty and job.alive:
        st.rerun()  # the stored run leaves the page
    page.badge("measured", _summary(board.race))
    race_view.draw(board)


def _show_stored(name: str) -> None:
    stored = stored_run(name)
    page.badge("stored run", stored.made)
    race_view.note(_summary(stored.race))
    race_view.draw(stored.board)
    race_view.results(stored.board)


def _summary(race: Race) -> str:
    own = race.settings(race.methods[0], race.seeds[0])
    seeds = f"seed {race.seeds[0]}" if len(race.seeds) == 1 else f"seeds {race.seeds[0]} to {race.seeds[-1]}"
    options = "".join(f", {value}" for value in own.options.values() if isinstance(value, str))
    return f"{TASKS[race.task].title}{options}: rank {race.rank}, alpha {race.alpha:g}, {own.steps} steps, {seeds}"


def _explain(task: Task) -> None:
    """Three depths of the same: the formula, the numbers, the code; and where the task comes from."""
    with st.expander("The formulas, and where the task comes from"):
        st.latex(
            r"\text{LoRA: } W' = W + \tfrac{\alpha}{r} B A \qquad \text{DoRA: } W' = m \cdot "
            r"\frac{W + \tfrac{\alpha}{r} B A}{\lVert W + \tfrac{\alpha}{r} B A \rVert_{\text{row}}}"
        )
        st.markdown(
            "QLoRA and QDoRA are the same over a base `W` that is stored in 4 bits (NF4) and never changes. "
            "Full fine-tuning changes every number of `W`."
        )
        sizes = ", ".join(f"{units.count(value)} {name}" for name, value in task.sizes.items() if value)
        st.markdown(f"**{task.title}.** Base: {task.base}. Learned: {task.data}. {sizes}. Loss in {task.unit}.")
        st.markdown(f"Learning rates: {page.escape(task.reason)}")
        for source in task.sources:
            race_view.note(page.escape(source))
        st.markdown(
            "This is a model of less than a million parameters. Its differences between methods are smaller than their "
            "spread over seeds unless the page says otherwise; a paper's ranking of methods is not tested here."
        )


main()

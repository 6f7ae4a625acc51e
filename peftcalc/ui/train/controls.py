"""What is to be learned, by whom, and how: the task in sight, what else there is to choose in a drawer beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from peftcalc import units
from peftcalc.lab.race import Race
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.lab.tasks.own_text import LONGEST, CleanText, clean_text
from peftcalc.lab.tasks.task import Task
from peftcalc.methods import METHODS
from peftcalc.ui import live, state
from peftcalc.ui.drawer import Drawer
from peftcalc.ui.train import pace
from peftcalc.ui.train.results import note

DEFAULT_TASK = "magnitude"
"""On it five methods part, each for a reason that can be seen, within seconds."""
RANKS = (1, 2, 4, 8, 16, 32, 64)
ALPHAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
DROPOUTS = (0.0, 0.05, 0.1, 0.3)
RATES = (0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
STEPS = (0, 10, 25, 50, 100, 200, 300, 500)
OWN = "as suggested"
SUGGESTED_STEPS = {"names": 50}
"""Fewer than the task's own: five methods are then through within twenty seconds on two cores."""
PARTS = ("train-controls", "train-picture", "train-below")
"""Keys of the page's parts that depend on the task: when another is chosen they run, together and alone."""
OWN_TEXT = "_own_text"
"""Of the session, and of nothing else: what was pasted."""


@dataclass(frozen=True)
class Wish:
    """What the controls say."""

    race: Race
    text: str = ""
    """The visitor's own, which no race holds."""
    trouble: str = ""
    """Why it cannot be trained as it is, in a sentence."""


def row() -> Wish:
    """The task and the drawer, and what they say.

    Raises:
        ValueError: no method is chosen.
    """
    titles = {name: task.title for name, task in TASKS.items()}
    name = state.menu("Task", list(TASKS), "task", DEFAULT_TASK, titles.__getitem__, on_change=_another_task, width=270)
    drawer = Drawer("Your text" if name == "own" else "Settings", "train")
    text, trouble = _own_text(drawer) if name == "own" else ("", "")
    chosen = drawer.several("Methods", list(METHODS), "methods", list(METHODS), lambda key: METHODS[key].label)
    rank = drawer.slider("Rank", RANKS, "rank", 4)
    alpha = drawer.slider("Alpha", ALPHAS, "alpha", 16)
    options = _task_options(drawer, TASKS[name])
    rate = drawer.slider("Learning rate", RATES, "lr", 0.0, lambda value: f"{value:g}" if value else OWN)
    steps = drawer.slider("Steps", STEPS, "steps", 0, lambda value: str(value) if value else OWN)
    dropout = drawer.slider("Dropout", DROPOUTS, "dropout", 0.0)
    decay = drawer.slider("Weight decay", (0.0, 0.01, 0.1, 0.3), "decay", 0.0)
    seeds = drawer.slider("Seeds", (1, 2, 3, 5), "seeds", 1)
    seed = drawer.slider("First seed", range(10), "seed", 0)
    device = _device(drawer)
    race = Race(
        task=name,
        methods=tuple(method for method in METHODS if method in chosen),
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        learning_rate=rate or None,
        weight_decay=decay,
        steps=steps or SUGGESTED_STEPS.get(name),
        seeds=tuple(range(seed, seed + seeds)),
        device=device,
        options=options,
    )
    return Wish(race, text, trouble or too_long(race))


def _another_task() -> None:
    st.rerun(PARTS)


def too_long(race: Race) -> str:
    """Why a race takes longer than one visitor may have, with what would do; empty where it does not."""
    seconds, limit = pace.seconds(race), live.queue().limits.running
    if seconds <= limit:
        return ""
    steps = race.settings(race.methods[0], race.seeds[0]).steps
    works = max((option for option in STEPS if option and option * seconds / steps <= limit), default=0)
    advice = f"{works} steps would do" if works else "fewer methods or seeds would do"
    return f"That takes about {units.seconds(seconds)}; this server gives a run {units.seconds(limit)}: {advice}."


def _own_text(drawer: Drawer) -> tuple[str, str]:
    """What was pasted, and what is wrong with it."""
    if drawer.open:
        with drawer.box:
            st.text_area(
                "Names, one a line, or any text",
                key=OWN_TEXT,
                height=200,
                max_chars=LONGEST,
                placeholder="Paste 50 names or a page of prose, at most 50,000 characters",
                persist_state="session",
            )
            note("It stays in your session: no link, log or history holds it, and nobody else sees it.")
    text = st.session_state.get(OWN_TEXT) or ""
    if not text.strip():
        return "", "Paste names or a text under **Your text**: the small model learns it."
    try:
        clean = clean_text(text)
    except ValueError as error:
        return "", str(error)
    if drawer.open:
        with drawer.box:
            note(_what_is_learned(clean))
    return clean.text, ""


def _what_is_learned(clean: CleanText) -> str:
    kind = f"{len(clean.lines):,} names, line by line" if clean.is_list else f"{len(clean.text):,} characters of prose"
    left_out = f"; {clean.left_out:,} characters outside its alphabet are left out" if clean.left_out else ""
    return f"Learned are {kind}{left_out}."


def _task_options(drawer: Drawer, task: Task) -> dict[str, Any]:
    """The task's own named choices."""
    return {
        name: drawer.menu(name.replace("_", " ").capitalize(), list(allowed), name, task.options[name])
        for name, allowed in task.choices.items()
    }


def _device(drawer: Drawer) -> str:
    """What there is to train on, by name, once a worker has told."""
    titles = dict(live.queue().devices) or {"cpu": "CPU"}
    return drawer.menu("Device", list(titles), "device", next(iter(titles)), lambda key: titles[key])

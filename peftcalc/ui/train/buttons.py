"""Play, pause, step and stop: at the same place whatever a run is doing, stop once there is one."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from peftcalc import units
from peftcalc.jobs.job import Job
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.runs.kept_race import KeepableRace
from peftcalc.methods import METHODS
from peftcalc.ui import live, page
from peftcalc.ui.classroom import here
from peftcalc.ui.components.mount import set_state
from peftcalc.ui.history import shown
from peftcalc.ui.train import pace
from peftcalc.ui.train.controls import Wish

SLOT = "train"
RACE = "_race"
"""Where the session holds the board of its own race."""
LOOK = "look"
"""The key of the picture, and of its state in the link."""


def row(wish: Wish | None) -> None:
    """The buttons for what the controls say; None when that is no race."""
    job = live.current(SLOT)
    _play(job, wish)
    may_step = job is not None and job.alive and job.state != "waiting"
    _button("Step", ":material/skip_next:", lambda: _step(job, wish), disabled=not may_step and not _ready(job, wish))
    if job is not None and not job.alive:
        _button("Reset", ":material/restart_alt:", lambda: live.clear(SLOT))
    elif job is not None:
        _button("Stop", ":material/stop:", lambda: live.queue().stop(job))


def _play(job: Job | None, wish: Wish | None) -> None:
    queue = live.queue()
    if job is not None and job.state == "paused":
        _button("Go on", ":material/play_arrow:", lambda: queue.resume(job), primary=True)
    elif job is not None and job.alive:
        _button("Pause", ":material/pause:", lambda: queue.pause(job), job.state == "waiting", primary=True)
    else:
        _button("Train", ":material/play_arrow:", lambda: _train(wish), not _ready(job, wish), primary=True)


def _ready(job: Job | None, wish: Wish | None) -> bool:
    """Whether a race can begin."""
    return (job is None or not job.alive) and wish is not None and not wish.trouble


PLACES = {"Train": "play", "Pause": "play", "Go on": "play", "Stop": "end", "Reset": "end"}
"""Where a button stands: another of its place takes its turn there, and never stands beside it."""


def _button(label: str, icon: str, act: Callable[[], object], disabled: bool = False, primary: bool = False) -> None:
    """A button after which the whole page runs again: what a run does is seen in more than one place of it."""
    quiet = label == "Step" and live.current(SLOT) is None  # one button to press first
    kind = "primary" if primary and not disabled else "tertiary" if quiet else "secondary"
    key = f"{SLOT}-{PLACES.get(label, label)}"
    if st.button(label, icon=None if page.projector() else icon, type=kind, key=key, disabled=disabled):
        act()
        st.rerun()


def _train(wish: Wish | None, until: int | None = None) -> None:
    """Begin, with the picture at the newest step."""
    if wish is None:
        return
    st.session_state[RACE] = RaceResults(wish.race)
    set_state(LOOK, {name: value for name, value in st.session_state.get("_look", {}).items() if name == "method"})
    shown.forget_link()
    job = live.submit(SLOT, "finetune", wish.race.parts(live.queue().workers, "", wish.text), until)
    if job is not None:
        here.keep(job, KeepableRace(wish.race))


def _step(job: Job | None, wish: Wish | None) -> None:
    """One step further; a run begins with its first."""
    if job is None or not job.alive:
        _train(wish, until=1)
        return
    live.queue().pause(job)
    live.queue().step(job)


def guide(wish: Wish | None) -> None:
    """What there is to do and to watch, in one sentence, as far as the visitor's run is."""
    job = live.current(SLOT)
    if job is None:
        many = len(METHODS) if wish is None else len(wish.race.methods)
        who = {1: "one method learns", len(METHODS): "five methods learn"}.get(many, f"{many} methods learn")
        st.markdown(f"**Press Train** and watch {who} live. It {_cost(wish)}.")
    elif job.alive:
        st.markdown("Click a method to see inside it.")
    else:
        st.markdown(f"The slider leads back. Training again {_cost(wish)}.")


def _cost(wish: Wish | None) -> str:
    """About how long it will take."""
    seconds = 0.0 if wish is None else pace.seconds(wish.race)
    if not seconds:
        return "takes a time that is not known yet"
    where = " here" if wish is not None and pace.measured(wish.race) else ""
    return f"takes about {units.seconds(float(max(1, round(seconds))))}{where}"

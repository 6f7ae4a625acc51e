"""Runs whose matrices are watched, stored or trained now: their points in the ΔM–ΔD plane, and what each panel says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from peftcalc.geometry.magnitude_direction_plane import PANELS, correlated, last_loss, neurons, points
from peftcalc.jobs.job import Job
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.ui import live, page
from peftcalc.ui.lessons import dora as data
from peftcalc.ui.lessons import predict

SLOT = "dora"
STORED = "dora-moves"
KEPT = 64
"""Tables of stored runs that are kept: all there are."""
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Panel:
    """One method's points, and what is said of them."""

    rows: list[dict[str, Any]]
    """As a chart takes them: a table of pandas would be turned into them in every run."""
    told: str
    """Their correlation with its interval."""
    loss: float
    """Held out, at the last checkpoint."""


@dataclass(frozen=True, eq=False)
class Panels:
    """The four panels of a figure, which share their axes."""

    of: Mapping[str, Panel]
    limits: Any
    """Largest ΔD, then the ends of ΔM: one for matrices, lowest and highest for neurons."""
    table: pd.DataFrame
    """Of all panels, to take away."""


def matrix_panels(records: Records, ending: str, norm: str, relative: bool) -> Panels:
    """Each matrix at each checkpoint."""
    found = {panel: points(records, panel, ending, norm, relative) for panel in PANELS}
    everything = [point for panel in found.values() for point in panel]
    limits = 1.05 * max(p["turn"] for p in everything), 1.05 * max(p["length"] for p in everything)
    return _panels(records, ending, found, limits)


def neuron_panels(records: Records, ending: str) -> Panels | None:
    """Each row at the end of the run; None where they were not recorded."""
    found = {panel: neurons(records, panel, ending) for panel in PANELS}
    if not all(found.values()):
        return None
    everything = [point for panel in found.values() for point in panel]
    lengths = [point["length"] for point in everything]
    limits = 1.05 * max(p["turn"] for p in everything), min(1.1 * min(lengths), -0.05), 1.1 * max(lengths)
    return _panels(records, ending, found, limits)


@functools.lru_cache(maxsize=KEPT)
def stored_matrix_panels(ending: str, norm: str, relative: bool) -> Panels:
    """`matrix_panels` of the stored run, kept."""
    return matrix_panels(stored_lesson(STORED).records, ending, norm, relative)


@functools.lru_cache(maxsize=KEPT)
def stored_neuron_panels(ending: str) -> Panels | None:
    """`neuron_panels` of the stored run, kept."""
    return neuron_panels(stored_lesson(STORED).records, ending)


def _panels(
    records: Records, ending: str, found: Mapping[str, list[dict[str, Any]]], limits: tuple[float, ...]
) -> Panels:
    table = pd.DataFrame([{"panel": panel, **point} for panel, some in found.items() for point in some])
    panels = {panel: _panel(some, last_loss(records, panel, ending)) for panel, some in found.items()}
    return Panels(panels, limits, table)


def _panel(found: list[dict[str, Any]], loss: float) -> Panel:
    answer = correlated(found)
    told = f"r = {answer.r:+z.2f} [{answer.low:+z.2f}, {answer.high:+z.2f}]" if answer else "too few points for r"
    told = told.replace("-", "−")
    return Panel(found, told, loss)


def two_by_two(panels: Panels, draw: Callable[[str, Panel], None], question: str) -> None:
    """The four panels; that of the update that nobody trained opens with the lesson's guess.

    Args:
        panels: all four.
        draw: one of them.
        question: key of the prediction that is asked in its place.
    """
    first, second = st.columns(2, gap="medium"), st.columns(2, gap="medium")
    for place, (name, panel) in zip([*first, *second], panels.of.items(), strict=True):
        with place.container(gap="xsmall"):
            if name != "random" or predict.guessed(question) is not None:
                draw(name, panel)
            elif data.MOVES.prediction is not None:
                predict.ask(data.MOVES.prediction, question)


# ---- a run of one's own ----


def train(decay: float, base: int) -> None:
    """The three methods, side by side where there are workers for it."""
    st.session_state["_moves"] = (decay, base)
    runs = data.move_runs(decay, base, rows=True)
    workers = min(live.queue().workers, len(runs))
    live.submit(SLOT, "moves", [{"runs": runs[start::workers]} for start in range(workers)])


def has_points(job: Job | None) -> bool:
    return job is not None and any("matrix" in record for record in job.records)


def trained_ending() -> str:
    """Of the slot's job; its badge says the same in words."""
    decay, base = st.session_state["_moves"]
    return data.ending(base, decay)


def own_badge() -> None:
    decay, base = st.session_state["_moves"]
    page.badge("measured", f"weight decay {decay:g}, base model {base}")


def stored_badge() -> None:
    page.badge("stored run", stored_lesson(STORED).made)

"""Many runs in one picture: loss against what is trained, with the front that nothing beats, or method by method."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import streamlit as st

from peftcalc.lab.sweeps.results import Cell, SweepResults
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.plots.board import COSTS, board_front_chart, board_methods_chart
from peftcalc.plots.chart import Chart
from peftcalc.ui import page, show, state

COST_NAMES = {"trainable": "trained parameters", "peak_bytes": "memory"}
VIEWS = ("loss against cost", "by method")
FRONT = "The dashed line: nothing lies to its lower left, so no setting is both cheaper and better than one on it. \
It begins at the cheapest, whatever that one loses"
"""What the line joins, before the names of its points."""


def choices(key: str = "") -> tuple[str, str]:
    """Which picture, and which cost; two controls in a row.

    Args:
        key: before those of the controls, where a page has other pictures beside it.
    """
    shown: dict[str, Any] = {"label_visibility": "collapsed" if page.projector() else "visible"}
    view = state.choice("View", VIEWS, f"{key}view", VIEWS[0], **shown)
    return view, state.choice("Cost", tuple(COSTS), f"{key}cost", "trainable", COST_NAMES.__getitem__, **shown)


@dataclass(frozen=True)
class Picture:
    """Runs on one task as they are shown, computed once for however many look."""

    said: str
    """Below it, as Markdown."""
    chart: Chart | None = None
    alt: str = ""
    name: str = ""


def picture(results: SweepResults, view: str, cost: str, key: str) -> None:
    """The picture of runs on one task, and what it says.

    Args:
        results: at least one run.
        view, cost: of `choices`.
        key: of the picture.
    """
    show_picture(drawn(results, view, cost), key)


def show_picture(found: Picture, key: str) -> None:
    """A picture that is drawn; `key` tells it from the page's others."""
    if found.chart is not None:
        show.chart(found.chart, found.alt, f"{key}-{found.name}")
    st.markdown(found.said)


def drawn(results: SweepResults, view: str, cost: str) -> Picture:
    """What `show_picture` shows; arguments as for `picture`."""
    task = TASKS[results.runs[0].settings.task]
    cells = [cell for cell in results.cells() if math.isfinite(cell.validation.mean)]
    diverged = Counter(run.stopped is not None for run in results.runs)[True]
    if not cells:
        return Picture("Every run so far has diverged: a lower learning rate would help.")
    best, front = cells[0], results.pareto(cost)
    counts = f"{len(results.runs)} runs, {len(cells)} setting{'s' if len(cells) > 1 else ''}"
    said = f"{task.title}: {counts}. Lowest: {_label(best)}, {best.validation}"
    if view == VIEWS[1]:
        chart, name, what = board_methods_chart(results, task.unit), "methods", "Loss by rank, a panel a method"
    else:
        chart, name, what = board_front_chart(results, cost, task.unit), "front", "Loss against cost"
    line = "The cheapest is the best" if len(front) == 1 else FRONT if view == VIEWS[0] else "Nothing beats"
    text = f"{page.escape(said)}. {line}: {page.escape('; '.join(map(_label, front)))}."
    text += f" {diverged} diverged and are left out." if diverged else ""
    return Picture(text, show.ready(chart), f"{what}. {said}.", name)


def _label(cell: Cell) -> str:
    """Its settings, in words."""
    return cell.label.replace("_", " ").replace("()", "")

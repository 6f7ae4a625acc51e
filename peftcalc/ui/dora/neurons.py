"""How single rows move: each neuron's change of length against its turn, beside the curve of rows that only turn."""

from __future__ import annotations

import functools

import streamlit as st

from peftcalc.geometry.direction import pure_turning
from peftcalc.plots import direction as plots
from peftcalc.ui import live, page, show, state
from peftcalc.ui.dora import moves
from peftcalc.ui.dora.moves import Panel, Panels
from peftcalc.ui.lessons import dora as data
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.dora import NEURONS

BASE = 0
"""The base model whose rows are stored."""


@lessons.taught(NEURONS, "neurons")
def neurons() -> None:
    controls, result = page.controls_and_result("neurons", 0.24)
    with controls:
        decay = state.choice("Weight decay", data.DECAYS, "decay", 0.0, lambda value: f"{value:g}")
        st.markdown("**A neuron** is one row of a weight: one arrow. Here is every row of the network at the end.")
        st.markdown("**Dashed**: a push at a right angle to the row, which turns and lengthens it: 1/cos θ − 1.")
    with result:
        own = _own()
        if own is None:
            ending = data.ending(BASE, decay)
            stored = moves.stored_neuron_panels(ending)
            if stored is not None:
                _draw(stored, ending)
            moves.stored_badge()
        else:
            _draw(own, moves.trained_ending())
            moves.own_badge()
    show.folded("The formula, with its numbers", "neurons", _formula)


def _own() -> Panels | None:
    """Of a run that was trained in the tab of matrices, once it has come to its end."""
    job = live.current(moves.SLOT)
    return moves.neuron_panels(job.records, moves.trained_ending()) if job is not None and not job.alive else None


def _draw(panels: Panels, ending: str) -> None:
    moves.two_by_two(panels, functools.partial(_neuron_panel, panels.limits), "moves")
    st.caption("A dot is a row of any of the twelve matrices. Shared axes; r with a 95 % interval over matrices.")
    show.download_csv(panels.table, f"neurons-{ending}")


def _neuron_panel(limits: tuple[float, float, float], name: str, panel: Panel) -> None:
    label, _ = plots.look_of(name)
    st.markdown(f"**{label}** {page.escape(panel.told)}")
    show.chart(
        plots.neurons_chart(panel.rows, name, limits),
        f"{label}: relative change of length of each neuron against its turn, {panel.told}; dashed: 1/cos θ − 1.",
    )


def _formula() -> None:
    st.latex(r"\Delta w \perp w: \quad \lVert w + \Delta w \rVert = \frac{\lVert w \rVert}{\cos \theta}, \qquad "
             r"\frac{\Delta m}{m} = \frac{1}{\cos \theta} - 1 = \frac{1}{1 - \Delta D} - 1")  # fmt: skip
    st.latex(rf"\theta = 60^\circ: \quad 1 - \cos \theta = 0.5, \quad \Delta m / m = {float(pure_turning(0.5)):g}")

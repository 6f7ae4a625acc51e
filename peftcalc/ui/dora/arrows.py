"""One row as an arrow: what LoRA adds, and what DoRA turns and stretches."""

from __future__ import annotations

import numpy as np
import streamlit as st

from peftcalc.geometry.direction import decompose
from peftcalc.plots import direction as plots
from peftcalc.plots.style import THEMES
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.dora import ARROWS

TURNS = (-90, -60, -45, -30, -15, 0, 15, 30, 45, 60, 90)
STRETCHES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


@st.fragment
def arrows() -> None:
    st.header("One row, two ways to change it", anchor="arrows")
    lessons.show_presets(ARROWS, "arrows")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        turn = state.slider("Turn", TURNS, "turn", 30, lambda value: f"{value}°")
        stretch = state.slider("New length / old length", STRETCHES, "stretch", 1.25, lambda value: f"{value:g}")
    row = plots.moved_row(turn, stretch)
    change = decompose([plots.START], [row])
    with result:
        page.badge("exact")
        first, second, third = st.columns(3)
        first.metric("ΔM, change of length", f"{change.magnitude_change:.4f}")
        second.metric("ΔD, 1 − cos of the turn", f"{change.direction_change:.4f}")
        third.metric("‖ΔW‖ that LoRA adds", f"{np.linalg.norm(row - plots.START):.4f}")
        show.figure(
            plots.arrows_figure(turn, stretch, THEMES[page.theme_name()]),
            f"A row turned by {turn} degrees and made {stretch:g} times as long, left by adding an arrow, right by an "
            "arc and a change of length.",
            "arrows",
            lambda: {"figure": "arrows", "turn": turn, "stretch": stretch},
        )
    with st.expander("The formula, with these numbers, and as code"):
        _arrow_formula(turn, stretch, row)
    lessons.show_try_this(ARROWS, "arrows")
    state.link_notes()


def _arrow_formula(turn: int, stretch: float, row: np.ndarray) -> None:
    start = plots.START
    length, new = float(np.linalg.norm(start)), float(np.linalg.norm(row))
    st.latex(r"\text{LoRA: } W' = W + s B A \qquad \text{DoRA: } W' = m\, \frac{W + s B A}{\lVert W + s B A \rVert}")
    st.latex(
        rf"({start[0]:g}, {start[1]:g}) + ({row[0] - start[0]:.3f}, {row[1] - start[1]:.3f}) = "
        rf"({row[0]:.3f}, {row[1]:.3f}) = {new:.3f} \cdot ({row[0] / new:.3f}, {row[1] / new:.3f})"
    )
    st.latex(
        rf"\Delta M = |{new:.3f} - {length:.3f}| = {abs(new - length):.4f}, \qquad "
        rf"\Delta D = 1 - \cos {turn}^\circ = {1 - np.cos(np.radians(turn)):.4f}"
    )
    show.code(
        "import peftcalc as pc\nfrom peftcalc.plots.direction import START, moved_row\n\n"
        f"print(pc.decompose([START], [moved_row({turn}, {stretch:g})]))",
        "one_row.py",
    )
    st.caption("DoRA, arXiv:2402.09353, section 3.2, equations 3 to 5; the paper writes W transposed.")

"""One row as an arrow: what LoRA adds, and what DoRA turns and stretches."""

from __future__ import annotations

import functools

import numpy as np
import streamlit as st

from peftcalc.geometry.direction import decompose
from peftcalc.ui import show
from peftcalc.ui.components.arrow import arrow, arrow_data
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.dora import ARROW


def one_arrow() -> None:
    moved = arrow(key="arrow")
    lessons.show_presets(ARROW, "arrow")
    data = arrow_data()
    tip = moved.get("x", data["tip"][0]), moved.get("y", data["tip"][1])
    show.folded(
        "The formula, with these numbers, and as code", "arrow", functools.partial(_formula, tuple(data["start"]), tip)
    )
    lessons.show_try_this(ARROW, "arrow")


def _formula(start: tuple[float, float], row: tuple[float, float]) -> None:
    length, new = float(np.linalg.norm(start)), float(np.linalg.norm(row))
    change = decompose([start], [row])
    st.latex(r"\text{LoRA: } W' = W + s B A \qquad \text{DoRA: } W' = m\, \frac{W + s B A}{\lVert W + s B A \rVert}")
    st.latex(
        rf"({start[0]:g}, {start[1]:g}) + ({row[0] - start[0]:.3f}, {row[1] - start[1]:.3f}) = "
        rf"({row[0]:.3f}, {row[1]:.3f}) = {new:.3f} \cdot ({row[0] / new:.3f}, {row[1] / new:.3f})"
    )
    st.latex(
        rf"\Delta M = |{new:.3f} - {length:.3f}| = {change.magnitude_change:.4f}, \qquad "
        rf"\Delta D = 1 - \cos \theta = {change.direction_change:.4f}"
    )
    show.code(
        f"import peftcalc as pc\n\nbefore, after = [{list(start)}], [{list(row)}]\nprint(pc.decompose(before, after))",
        "one_row.py",
    )
    st.caption("DoRA, arXiv:2402.09353, section 3.2, equations 3 to 5; the paper writes W transposed.")

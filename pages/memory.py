"""Will it fit, how long does it take, and where do the bytes go? Estimated, simulated, and measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from peftcalc.memory.fit import Fit, fit
from peftcalc.ui import page, sections, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import predict
from peftcalc.ui.lessons.memory import MEMORY
from peftcalc.ui.memory import answer, cards, evidence, serving, setup, step
from peftcalc.ui.pages import entry_at

IN_WORDS = (
    "Full trains the whole model; LoRA freezes it and trains small matrices beside it; DoRA also a length for each "
    "row; Q keeps the frozen model in four bits."
)


def main() -> None:
    page.open_page(entry_at("memory").question, IN_WORDS)
    with page.errors_as_sentences():
        the_picture(setup.choose_basis())
    lessons.show_presets(MEMORY, "memory")
    lessons.show_try_this(MEMORY, "memory")
    state.link_notes()


@st.fragment
def the_picture(basis: setup.Basis) -> None:
    """The controls, and everything that follows from them: a move runs this, with the open section."""
    controls, result = page.controls_and_result("memory", 0.24)
    with page.errors_as_sentences():
        with controls:
            asked = setup.choose(basis)
        fits = fit(asked.shapes, asked.card, asked.methods, asked.batch, asked.sequence, **asked.options)
        with result:
            answer.draw(asked, fits)
            the_prediction()
            the_sections(asked, fits)
    state.link_notes()


def the_prediction() -> None:
    """A guess moves the model too, which stands outside this fragment: the whole page runs then, once."""
    lessons.show_prediction(MEMORY, "memory")
    guess = predict.guessed("memory")
    if guess != st.session_state.get("_memory_guess"):
        st.session_state["_memory_guess"] = guess
        st.rerun()


def the_sections(asked: setup.Setup, fits: list[Fit]) -> None:
    """What goes deeper; only the open one is computed."""
    sections.deeper(
        {
            "the step": partial(_sentences, step.draw, asked, fits),
            "cards": partial(_sentences, cards.draw, asked),
            "serving": partial(_sentences, serving.draw, asked),
            "evidence": partial(_sentences, evidence.draw, asked),
        }
    )


def _sentences(draw: Callable[..., None], *asked: Any) -> None:
    """A section that runs alone answers bad input by itself."""
    with page.errors_as_sentences():
        draw(*asked)


main()

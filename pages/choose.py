"""From what matters to a method, its rank, alpha and targets, each step with its evidence, and the code at the end."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.advice.advise import PRIORITIES, Advice, advise
from peftcalc.memory.cards import all_gpus
from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.calls import advice_code
from peftcalc.recipes.training_script import TrainingSettings
from peftcalc.ui import model_choice, page, show, state, take_away
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.choose import CHOOSE
from peftcalc.ui.pages import entry_at

SEQUENCES = (256, 512, 1024, 2048, 4096, 8192, 16384)
BATCHES = (1, 2, 4, 8, 16)
TASKS = (1, 2, 5, 10, 20, 50, 100, 500)


def main() -> None:
    page.open_page(
        entry_at("choose").question,
        "Say what you have and what matters. Every step of the advice shows the number or the table behind it.",
    )
    lessons.show_presets(CHOOSE, "choose")
    controls, result = st.columns([1, 2], gap="large")
    with page.errors_as_sentences():
        with controls:
            shapes = model_choice.choose_model()
            cards = [card.name for card in all_gpus()]
            card = state.menu("Card", cards, "gpu", "RTX 4090")
            priority = state.choice("What matters most", PRIORITIES, "priority", "balance")
            tasks = state.slider("Tasks to be served", TASKS, "tasks", 1)
            sequence = state.slider("Tokens in a sequence", SEQUENCES, "sequence", 2048, lambda n: f"{n:,}")
            batch = state.slider("Sequences in a batch", BATCHES, "batch", 1)
        advice = advise(shapes, card, priority, tasks, batch, sequence)
        with result:
            the_answer(advice)
            the_reasons(advice)
        the_code(shapes, advice, priority, tasks, batch, sequence)
    lessons.show_prediction(CHOOSE, "choose")
    lessons.show_try_this(CHOOSE, "choose")
    state.link_notes()


def the_answer(advice: Advice) -> None:
    method, fit = advice.method, advice.fit
    words = {"fits": "It fits", "tight": "It may just fit", "does not fit": "It does not fit"}
    first, second, third = st.columns(3)
    first.metric("Method", method.label)
    second.metric("Needs", units.gib(fit.needed.expected_bytes))
    third.metric(words[fit.verdict], f"of {units.gib(fit.gpu.usable_bytes)}")
    frame = pd.DataFrame(
        [(f.method.label, units.gib(f.needed.expected_bytes), f.verdict, f.largest_sequence) for f in advice.fits],
        columns=["method", "needs", "verdict", "longest sequence"],
    )
    show.table(frame, "methods-on-this-card", "The five methods on this card")


def the_reasons(advice: Advice) -> None:
    st.subheader("Why", anchor=False)
    for reason in advice.reasons:
        with st.container(border=True):
            st.markdown(f"**{reason.question}** {reason.answer}")
            st.caption(f"{reason.evidence} *{reason.kind.capitalize()}: {reason.source}*")


def the_code(shapes: ModelShapes, advice: Advice, priority: str, tasks: int, batch: int, sequence: int) -> None:
    st.subheader("The code", anchor=False)
    precision = {name: getattr(advice.fit.step.options, name) for name in ("dtype", "float32_masters")}
    settings = TrainingSettings(batch, sequence, checkpointing=advice.checkpointing, **precision)
    take_away.scripts(shapes, advice.method, settings)
    st.caption("The advice again, with its numbers:")
    show.code(advice_code(shapes, advice, priority, tasks, batch, sequence), "advice.py")
    st.caption("This address restores everything above:")
    st.code(state.link(), language=None, wrap_lines=True)


main()

"""From what matters to a method, its rank, alpha and targets: the answer and its code, and below them every reason."""

from __future__ import annotations

import html
import re

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.advice.advise import PRIORITIES, Advice, Reason, advise
from peftcalc.lab.findings.claims import CLAIMS
from peftcalc.memory.cards import all_gpus
from peftcalc.methods import LoRA
from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.calls import advice_code
from peftcalc.recipes.training_script import TrainingSettings
from peftcalc.ui import cards, model_choice, page, show, state, take_away
from peftcalc.ui.drawer import Drawer
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.choose import CHOOSE
from peftcalc.ui.pages import entry_at

SENTENCE = (
    "Say which model, which graphics card and what matters to you: here is the method to train with, its code, and why."
)
SEQUENCES = (256, 512, 1024, 2048, 4096, 8192, 16384)
BATCHES = (1, 2, 4, 8, 16)
TASKS = (1, 2, 5, 10, 20, 50, 100, 500)
CODE_HEIGHT = 420
"""Pixels of the code, which scrolls: the reasons stand below it."""
AGAIN = "Ask for this advice in Python"
DECIDES = ("LoRA or DoRA?", "Adapter or full fine-tuning?")
DOES = {
    "full": "Every number of the model is trained.",
    "lora": "The model is frozen; two thin matrices beside each of its layers are trained.",
    "dora": "The model is frozen; two thin matrices beside each layer, and a length for each of its rows, are trained.",
    "qlora": "The model is frozen and rounded to four bits; two thin matrices beside each of its layers are trained.",
    "qdora": "The model is frozen and rounded to four bits; two thin matrices beside each layer, and a length for each "
    "of its rows, are trained.",
}
"""What a method does, in a line."""
VERDICTS = {"fits": "It fits the card", "tight": "It may just fit", "does not fit": "It does not fit the card"}


def main() -> None:
    page.open_page(entry_at("choose").question, SENTENCE)
    lessons.show_presets(CHOOSE, "choose")
    the_advice()
    lessons.show_prediction(CHOOSE, "choose")
    lessons.show_try_this(CHOOSE, "choose")
    state.link_notes()


@st.fragment
def the_advice() -> None:
    """The questions and what follows from them: a move runs this alone."""
    controls, result = page.controls_and_result("choose")
    with page.errors_as_sentences():
        with controls:
            shapes = model_choice.choose_model()
            card = state.menu("Card", [card.name for card in all_gpus()], "gpu", "RTX 4090")
            priority = state.choice("What matters most", PRIORITIES, "priority", "balance")
            more = Drawer("Tasks, tokens, batch", "choose", width="stretch")
            tasks = more.slider("Tasks to be served", TASKS, "tasks", 1)
            sequence = more.slider("Tokens in a sequence", SEQUENCES, "sequence", 2048, lambda n: f"{n:,}")
            batch = more.slider("Sequences in a batch", BATCHES, "batch", 1)
        advice = advise(shapes, card, priority, tasks, batch, sequence)
        with result:
            the_answer(shapes, advice, priority)
            the_code(shapes, advice, priority, tasks, batch, sequence)
            the_reasons(advice)
    state.link_notes()


def the_answer(shapes: ModelShapes, advice: Advice, priority: str) -> None:
    """The method in large, how much of the card it needs, and in two lines what it does and why."""
    method, fit = advice.method, advice.fit
    sizes = (fit.needed.expected_bytes, fit.gpu.usable_bytes)
    tensors, needs, there = map(units.gib, (fit.estimate.total, *sizes))
    way = "none fits, and least is needed by" if fit.verdict == "does not fit" else "train it with"
    asked = f"{shapes.id.rsplit('/', 1)[-1]} on one {fit.gpu.name}, {priority} first: {way}"
    settings = f"rank {method.rank}, alpha {method.alpha:g}" if isinstance(method, LoRA) else ""
    verdict = f"{VERDICTS[fit.verdict]}: {needs.removesuffix(' GiB')} of {there}"
    inside = f"{tensors} for the step, as Memory draws it; the rest: CUDA and torch"
    with st.container(key="answer-choose"):
        cards.draw(
            cards.answer((asked, method.label, settings), cards.filled(verdict, *sizes, inside))
            + cards.line(DOES[method.name], _in_short(advice))
        )


def _in_short(advice: Advice) -> str:
    """What decided between the methods, and what fits; every reason stands below the code."""
    fits = next(reason for reason in advice.reasons if reason.question.startswith("What fits"))
    decided = next((reason for reason in advice.reasons if reason.question in DECIDES), fits)
    told = f"{fits.question.removesuffix('?')}: {fits.answer}"
    return told if decided == fits else f"{decided.answer} {told}"


def the_code(shapes: ModelShapes, advice: Advice, priority: str, tasks: int, batch: int, sequence: int) -> None:
    st.subheader("The code for it", anchor=False)
    precision = {name: getattr(advice.fit.step.options, name) for name in ("dtype", "float32_masters")}
    settings = TrainingSettings(batch, sequence, checkpointing=advice.checkpointing, **precision)
    again = advice_code(shapes, advice, priority, tasks, batch, sequence)
    take_away.scripts(shapes, advice.method, settings, CODE_HEIGHT, {AGAIN: (again, "advice.py")})


def the_reasons(advice: Advice) -> None:
    st.markdown("##### Why")
    show.unfolding((reason.question, reason.answer, _evidence(reason)) for reason in advice.reasons)
    _the_other_methods(advice)


def _evidence(reason: Reason) -> str:
    """What stands behind a reason, as HTML."""
    words = re.sub("`(.+?)`", r"<code>\1</code>", html.escape(reason.evidence))
    parts = [f"<p>{words}</p><p><i>{reason.kind.capitalize()}</i>: {html.escape(reason.source)}</p>"]
    if reason.rows:
        parts.append(show.rows_as_html(reason.rows))
    if reason.finding in CLAIMS:
        claim, section = CLAIMS[reason.finding], reason.finding.replace("-", "+")
        tried = f"<b>Tried again on small models: {claim.badge} here.</b> {html.escape(claim.sentence)}"
        link = f'<a href="./findings?section={section}" target="_blank">See it: Findings</a>'
        parts.append(f"<p>{tried} {link}</p>")
    return "".join(parts)


def _the_other_methods(advice: Advice) -> None:
    """Computed when it is opened: the longest sequence that fits takes some twenty estimates a method."""
    others = st.expander("**And the other methods on this card?**", type="compact", key="others", on_change="rerun")
    if not others.open:
        return
    with others:
        frame = pd.DataFrame(
            [(f.method.label, units.gib(f.needed.expected_bytes), f.verdict, f.largest_sequence) for f in advice.fits],
            columns=["method", "needs", "verdict", "longest sequence"],
        )
        show.table(frame, "methods-on-this-card", "The five methods on this card")


main()

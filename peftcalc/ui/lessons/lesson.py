"""Lessons as data: presets, "try this" prompts whose claims are tested, and predictions to make before a reveal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from peftcalc.ui.state import set_controls


@dataclass(frozen=True)
class Preset:
    """A named setting of a page's controls."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class TryThis:
    """Something to do, to predict, and then to see; `check` computes whether the claim is true, and a test calls it."""

    text: str
    parameters: Mapping[str, Any]
    question: str
    claim: str
    check: Callable[[], bool]


@dataclass(frozen=True)
class Prediction:
    """A question to commit to before the answer is shown."""

    question: str
    options: Sequence[str]
    answer: Callable[[], str]
    """Computes the right option, so that it cannot go stale."""
    explanation: str


@dataclass(frozen=True)
class Lesson:
    """What a page teaches with."""

    presets: Sequence[Preset] = ()
    try_this: Sequence[TryThis] = ()
    prediction: Prediction | None = None


def show_presets(lesson: Lesson, page: str) -> None:
    """A row of buttons that move the page's controls."""
    with st.container(horizontal=True, gap="small"):
        for index, preset in enumerate(lesson.presets):
            st.button(
                preset.name,
                key=f"{page}-preset-{index}",
                on_click=set_controls,
                args=(dict(preset.parameters),),
                type="secondary",
            )


def show_try_this(lesson: Lesson, page: str) -> None:
    """The prompts, two abreast: a button sets the controls; the claim is behind a click, to be predicted first."""
    st.subheader("Try this", anchor=False)
    for row in range(0, len(lesson.try_this), 2):
        for column, index in zip(st.columns(2), (row, row + 1), strict=True):
            if index < len(lesson.try_this):
                with column.container(border=True, height="stretch"):
                    _prompt(lesson.try_this[index], f"{page}-try-{index}")


def _prompt(prompt: TryThis, key: str) -> None:
    st.markdown(f"{prompt.text} **{prompt.question}**")
    with st.container(horizontal=True, gap="small"):
        parameters = dict(prompt.parameters)
        st.button("Set it up", key=key, on_click=set_controls, args=(parameters,), icon=":material/play_arrow:")
        with st.popover("What happens", type="tertiary"):
            st.markdown(prompt.claim)


def show_prediction(lesson: Lesson, page: str) -> None:
    """Commit to a guess, then see."""
    prediction = lesson.prediction
    if prediction is None:
        return
    with st.container(border=True):
        st.markdown(f"**Predict first.** {prediction.question}")
        guess = st.radio(
            prediction.question,
            prediction.options,
            index=None,
            horizontal=True,
            key=f"{page}-guess",
            label_visibility="collapsed",
        )
        if guess is None:
            return
        answer = prediction.answer()
        verdict = "Right." if guess == answer else f"Not quite: it is **{answer}**."
        st.markdown(f"{verdict} {prediction.explanation}")

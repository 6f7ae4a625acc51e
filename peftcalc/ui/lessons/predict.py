"""Predict, then see: a question that stands before its answer, and opens it.

    if predict.ask(PREDICTION, "rank"):     # the question; after a guess the guess, beside what came
        draw_the_answer()                   # only what gives the answer away needs to wait

A guess moves the controls to the question's `parameters`: ask in the same section as those controls, before them or
after, or outside every section. The guess stays with the visitor's session, not in a link: who opens the link has not
guessed yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from peftcalc.ui.state import set_controls

if TYPE_CHECKING:
    from peftcalc.ui.lessons.lesson import Prediction


def ask(prediction: Prediction, key: str) -> bool:
    """Draw the question or, after a guess, the guess beside what came.

    Args:
        prediction: the question, its options and what is moved with a guess.
        key: a name of the page's own.

    Returns:
        Whether the answer may be seen.
    """
    guess = guessed(key)
    with st.container(border=True, key=f"prediction-{key}", gap="small"):
        st.markdown(f"**Predict.** {prediction.question}")
        if guess is None:
            _choices(prediction, key)
        else:
            _what_came(prediction, guess, key)
    return guess is not None


def guessed(key: str) -> str | float | None:
    """What the visitor guessed; None before."""
    return st.session_state.get(f"_guess_{key}")


def _choices(prediction: Prediction, key: str) -> None:
    answer = {"key": f"{key}-guess", "label_visibility": "collapsed", "on_change": _commit, "args": (prediction, key)}
    if prediction.options:
        st.pills(prediction.question, prediction.options, **answer)
    else:
        label = f"{prediction.question} ({prediction.unit})" if prediction.unit else prediction.question
        st.number_input(label, value=None, placeholder=prediction.unit or "a number", width=220, **answer)


def _commit(prediction: Prediction, key: str) -> None:
    guess = st.session_state.get(f"{key}-guess")
    if guess is not None:
        st.session_state[f"_guess_{key}"] = guess
        set_controls(dict(prediction.parameters))


def _what_came(prediction: Prediction, guess: str | float, key: str) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if prediction.right(guess):
            st.badge(f"You said: {_shown(guess, prediction)}", icon=":material/check:", color="green")
        else:
            st.badge(f"You said: {_shown(guess, prediction)}", icon=":material/close:", color="orange")
            st.badge(f"It is: {_shown(prediction.answer(), prediction)}", color="green")
        st.button("Guess again", key=f"{key}-again", on_click=_forget, args=(key,), type="tertiary")
    st.markdown(prediction.explanation)


def _forget(key: str) -> None:
    st.session_state.pop(f"_guess_{key}", None)


def _shown(value: str | float, prediction: Prediction) -> str:
    number = value if isinstance(value, str) else f"{value:,.6g}"
    return f"{number} {prediction.unit}".rstrip()

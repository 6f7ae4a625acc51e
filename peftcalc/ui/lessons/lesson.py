"""Lessons as data: presets, "try this" prompts whose claims are tested, and predictions to make before a reveal."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import streamlit as st

from peftcalc.app_folder import app_folder
from peftcalc.ui.lessons import predict
from peftcalc.ui.page import led, projector
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
    """A question about the next change, to commit to before its answer can be seen."""

    question: str
    options: Sequence[str]
    """What can be guessed; empty where a number is."""
    answer: Callable[[], str | float]
    """Computes the right option or the number, so that it cannot go stale."""
    explanation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Where the controls go with the guess, so that the page shows what came."""
    unit: str = ""
    within: float = 0.1
    """A guessed number is right within this share of the answer."""

    def right(self, guess: str | float) -> bool:
        """Whether a guess is the answer.

        >>> Prediction("6 · 7?", (), lambda: 42, "", within=0.05).right(41)
        True
        """
        answer = self.answer()
        if isinstance(answer, str) or isinstance(guess, str):
            return guess == answer
        return abs(guess - answer) <= self.within * abs(answer)


@dataclass(frozen=True)
class Lesson:
    """What a page teaches with."""

    presets: Sequence[Preset] = ()
    try_this: Sequence[TryThis] = ()
    prediction: Prediction | None = None
    notebook: str = ""
    """Name of the notebook that goes the same way; empty where there is none."""


def taught(lesson: Lesson, page: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Decorates a section that moves by itself: its presets stand above it, its prompts below, and are not drawn again.

    @lessons.taught(KNOWN, "known")
    def known_rank() -> None: ...
    """

    def around(draw: Callable[[], None]) -> Callable[[], None]:
        moving = st.fragment(draw)

        @wraps(draw)
        def section() -> None:
            if lesson.presets:
                show_presets(lesson, page)
            moving()
            if lesson.try_this or lesson.notebook:
                show_try_this(lesson, page)

        return section

    return around


def show_presets(lesson: Lesson, page: str) -> None:
    """One line of buttons that move the page's controls; none for whom a teacher has just set them."""
    if led():
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key=f"examples-{page}"):
        st.markdown(":small[Examples]", width="content")
        for index, preset in enumerate(lesson.presets):
            st.button(
                preset.name,
                key=f"{page}-preset-{index}",
                on_click=set_controls,
                args=(dict(preset.parameters),),
                type="secondary",
            )


def show_try_this(lesson: Lesson, page: str, folded: bool = False) -> None:
    """The prompts, one a line: a button sets the controls; the claim is behind a click, to be predicted first.

    Before a room the teacher asks: with the projector they are left out. Whom a teacher has sent finds them in a box,
    and everybody does on a page that says a lot without them.

    Args:
        lesson: whose prompts.
        page: the beginning of their keys.
        folded: whether they stand in a box.
    """
    if projector():
        return
    if folded or led():
        box = st.expander("Try this", key=f"{page}-try", on_change="rerun")
        if box.open:
            with box:
                _prompts(lesson, page)
        return
    st.markdown("##### Try this")
    _prompts(lesson, page)


def _prompts(lesson: Lesson, page: str) -> None:
    for index, prompt in enumerate(lesson.try_this):
        _prompt(prompt, f"{page}-try-{index}")
    if lesson.notebook:
        show_notebook(lesson.notebook, page)


def show_notebook(name: str, page: str) -> None:
    """A button that saves a notebook of `notebooks/`, with its figures, predictions and folded answers."""
    st.download_button(
        "The same as a notebook",
        notebook_file(name).read_bytes,
        f"{name}.ipynb",
        "application/x-ipynb+json",
        key=f"{page}-notebook",
        on_click="ignore",
        icon=":material/menu_book:",
        type="tertiary",
    )


def notebook_file(name: str) -> Path:
    """Where a notebook lies, in a repository and in a wheel.

    >>> notebook_file("01_count").is_file()
    True
    """
    return app_folder() / "notebooks" / f"{name}.ipynb"


def _prompt(prompt: TryThis, key: str) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(f"{prompt.text} **{prompt.question}**")
        parameters = dict(prompt.parameters)
        st.button("Set it up", key=key, on_click=set_controls, args=(parameters,), icon=":material/play_arrow:")
        claim = html.escape(prompt.claim)  # opened by the browser alone: a popover is drawn anew with every move
        st.html(f'<details class="claim"><summary>What happens</summary>{claim}</details>', width="content")


def show_prediction(lesson: Lesson, page: str) -> bool:
    """The lesson's question; True once it is answered, for what would give the answer away."""
    return lesson.prediction is None or predict.ask(lesson.prediction, page)

"""The frame of a page: its question, a short answer, badges that say where a number comes from, errors as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import streamlit as st

PROJECTOR = "projector"

Kind = Literal["exact", "estimated", "simulated", "measured", "stored run"]

_BADGES: dict[str, tuple[Literal["green", "blue", "violet", "orange", "gray"], str]] = {
    "exact": ("green", ":material/verified:"),
    "estimated": ("orange", ":material/function:"),
    "simulated": ("blue", ":material/timeline:"),
    "measured": ("violet", ":material/straighten:"),
    "stored run": ("gray", ":material/history:"),
}


def open_page(question: str, answer: str) -> None:
    """The page's heading and one short paragraph (at most 60 words in all come before the first control)."""
    st.title(question, anchor=False)
    st.markdown(answer)


def projector() -> bool:
    """Whether the page is shown to a room: larger type, and only what a room needs."""
    return bool(st.session_state.get(PROJECTOR, False))


def badge(kind: Kind, detail: str = "") -> None:
    """Say where the numbers beside it come from."""
    color, icon = _BADGES[kind]
    st.badge(f"{kind}{': ' if detail else ''}{detail}", color=color, icon=icon)


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Bad input inside this block is shown as its sentence; what follows the block goes on."""
    try:
        yield
    except ValueError as error:
        st.error(escape(str(error)), icon=":material/error:")


_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]()<>#+-.!|~$:"})


def escape(text: str) -> str:
    """Text from outside as plain text in Markdown: nothing in it is a link, an image, HTML, a formula or an icon."""
    return " ".join(text.split()).translate(_SPECIAL)


def theme_name() -> Literal["light", "dark"]:
    """The visitor's theme, for figures that are drawn on the server."""
    return "dark" if st.context.theme.type == "dark" else "light"


def legible_buttons() -> None:
    """Dark words on the dark theme's light primary buttons: Streamlit's white ones have a contrast of 2.7, not 4.5."""
    if theme_name() == "dark":
        st.html(
            "<style>[data-testid=stBaseButton-primary], [data-testid=stBaseButton-primary] * {color: #0b0f1a}</style>"
        )

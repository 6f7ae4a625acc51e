"""The frame of a page: its question, a short answer, badges that say where a number comes from, errors as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import streamlit as st

from peftcalc.outside_files import said
from peftcalc.ui import landing

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator
    from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

NOTES_PLACE = "_notes_place"
PROJECTOR = "projector"
LED = "_led"
"""Where the session holds to which page its teacher has sent it."""

Kind = Literal["exact", "estimated", "simulated", "measured", "stored run"]

_BADGES: dict[str, tuple[Literal["green", "blue", "violet", "orange", "gray"], str]] = {
    "exact": ("green", ":material/verified:"),
    "estimated": ("orange", ":material/function:"),
    "simulated": ("blue", ":material/timeline:"),
    "measured": ("violet", ":material/straighten:"),
    "stored run": ("gray", ":material/history:"),
}


def open_page(question: str, answer: str = "") -> None:
    """The page's heading, one short paragraph (at most 60 words in all come before the first control), and between
    the two the place where `state.link_notes` says what a link asked for in vain. Before a room the teacher says the
    paragraph: with the projector it is left out."""
    st.title(question, anchor=False)
    place_for_notes()
    if answer and not projector():
        st.markdown(answer)


def place_for_notes() -> None:
    """Here `state.link_notes` says what a link asked for in vain; for a page that writes its heading itself."""
    st.session_state[NOTES_PLACE] = st.empty()


def controls_and_result(name: str, share: float = 0.3) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Two containers side by side: controls, which stay in sight while the page scrolls, and what follows from them.

    On a narrow screen the controls come first. `name` tells this pair from the page's others.
    """
    left, right = st.columns([share, 1 - share], gap="medium")
    return left.container(key=f"controls-{name}", gap="small"), right.container(key=f"result-{name}", gap="small")


def folded(label: str, key: str) -> ExpanderContainer | None:
    """A box whose content is drawn when it is opened, which the link remembers; None while it is closed."""
    box = st.expander(label, key=key, on_change="rerun", bind="query-params")
    landing.named(key)
    return box if box.open else None


def projector() -> bool:
    """Whether the page is shown to a room: larger type, and only what a room needs."""
    return bool(st.session_state.get(PROJECTOR, False))


def led() -> bool:
    """Whether a teacher has sent the visitor to this page, with its settings: a class does one thing, and leaves for
    later what leads elsewhere. It is also what a server makes thirty times at once."""
    return bool(st.session_state.get(LED, False))


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
        st.error(escape(said(error)), icon=":material/error:")


_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]()<>#+-.!|~$:"})


def escape(text: str) -> str:
    """Text from outside as plain text in Markdown: nothing in it is a link, an image, HTML, a formula or an icon."""
    return " ".join(text.split()).translate(_SPECIAL)


def theme_name() -> Literal["light", "dark"]:
    """The visitor's theme, for figures that are drawn on the server."""
    return "dark" if st.context.theme.type == "dark" else "light"

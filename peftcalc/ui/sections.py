"""A page's sections as tabs: only the open one is computed, a move in it reruns it alone, and the link names it.

    sections.show({"by hand": by_hand, "one matrix": one_matrix, "a real model": a_real_model})

Each section is a function without arguments that draws its controls and its result. What it needs of the page it reads
from its own controls, or is given by `functools.partial`. Tabs within a section have a `key` of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import streamlit as st

from peftcalc.ui import landing, state

KEY = "section"
"""The query parameter of a page's own sections."""
NAMES = "_sections"
"""Where the session holds their names, for the tests that visit each."""


def show(sections: Mapping[str, Callable[[], None]], key: str = KEY) -> None:
    """Tabs, the first open unless the link says otherwise; a name that the page does not have is answered by a note."""
    if key == KEY:
        st.session_state[NAMES] = list(sections)
    st.fragment(_tabs)(sections, key)
    state.link_notes()


def _tabs(sections: Mapping[str, Callable[[], None]], key: str) -> None:
    state.drawn(key)
    given = st.query_params.get(key)
    tabs = st.tabs(list(sections), key=key, bind="query-params")
    if key != KEY:  # a page's own stand at its top
        landing.named(key)
    for tab, (name, draw) in zip(tabs, sections.items(), strict=True):
        if tab.open:
            with tab:
                st.fragment(_section)(draw)
            if given is not None and given not in sections:
                state.note(key, f"the link asked for {key} = {given}", ", ".join(sections), name)


def deeper(sections: Mapping[str, Callable[[], None]]) -> None:
    """What goes deeper than the page's picture: names in a row, none open unless the link or a press says so.

    For a page whose own answer stands above; nothing below it is computed before somebody asks.
    """
    st.session_state[NAMES] = list(sections)
    state.drawn(KEY)
    given = st.query_params.get(KEY)
    opened = st.segmented_control("Go deeper", list(sections), key=KEY, bind="query-params", wrap=True)
    landing.named(KEY)
    if opened is not None:
        st.fragment(_section)(sections[opened])
    if given is not None and given not in sections:
        state.note(KEY, f"the link asked for {KEY} = {given}", ", ".join(sections), opened)
    state.link_notes()


def choice(names: Sequence[str], label: str) -> str:
    """One of two or three parts of a page, in the line of its first sentence; the page draws the chosen one itself."""
    st.session_state[NAMES] = list(names)
    return state.choice(label, names, KEY, names[0], label_visibility="collapsed")


def _section(draw: Callable[[], None]) -> None:
    draw()
    state.link_notes()


def door(label: str, section: str, key: str = KEY, look: Literal["primary", "tertiary"] = "tertiary") -> None:
    """A button that opens another section of this page; inside a section it needs the whole page to run again."""
    st.button(label, on_click=state.set_controls, args=({key: section},), type=look, key=f"door-{key}-{section}")

"""A page's sections as tabs: only the open one is computed, a move in it reruns it alone, and the link names it.

    sections.show({"by hand": by_hand, "one matrix": one_matrix, "a real model": a_real_model})

Each section is a function without arguments that draws its controls and its result. What it needs of the page it reads
from its own controls, or is given by `functools.partial`. Tabs within a section have a `key` of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from peftcalc.ui import landing, state

KEY = "section"
"""The query parameter of a page's own sections."""
GROUP = "section-group"
"""The session's name for which of a page's groups is open; the link has its section."""
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


def grouped(groups: Mapping[str, Mapping[str, Callable[[], None]]]) -> None:
    """As `show`, for more sections than are taken in at a look: tabs of a few groups, in the open one its sections.

    A link names the section, whose group opens with it; where it names a group, that opens with its first section.
    """
    st.session_state[NAMES] = [name for group in groups.values() for name in group]
    st.fragment(_groups)(groups)
    state.link_notes()


def _groups(groups: Mapping[str, Mapping[str, Callable[[], None]]]) -> None:
    given = st.query_params.get(KEY)
    run = get_script_run_ctx()
    asked = str(given if run and run.is_history_navigation else st.session_state.get(KEY, given))
    first = next(iter(groups))
    group = next((group for group, inside in groups.items() if asked == group or asked in inside), first)
    inside = groups[group]
    name = asked if asked in inside else next(iter(inside))
    if st.session_state.get(KEY, name if group == first else None) != name:
        st.session_state[KEY] = name
    st.session_state[GROUP] = group
    tabs = st.tabs(list(groups), key=GROUP, on_change=_open_first, args=(groups,))
    with tabs[list(groups).index(group)]:
        default = next(iter(inside)) if group == first else None  # the page's own first leaves the link short
        look = {"required": True, "wrap": True, "label_visibility": "collapsed"}
        st.segmented_control("Section", list(inside), key=KEY, default=default, bind="query-params", **look)
        st.fragment(_section)(inside[name])
    if given is not None and given not in (*groups, *st.session_state[NAMES]):
        state.note(KEY, f"the link asked for {KEY} = {given}", ", ".join(st.session_state[NAMES]), name)


def _open_first(groups: Mapping[str, Mapping[str, Callable[[], None]]]) -> None:
    """Another group is open: so is its first section."""
    st.session_state[KEY] = next(iter(groups[st.session_state[GROUP]]))


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

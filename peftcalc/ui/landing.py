"""A link lands where it points: what it names, below the first screen, is scrolled to when the page is opened.

Sections and boxes that a link can name say so when they are drawn (`named`); the page's end (`state.link_notes`) sends
the last of them to the browser (`mount.land`), once. A later press of the same control scrolls nothing.
"""

from __future__ import annotations

import streamlit as st

_LINKED = "_linked"
_TO = "_landing"


def arrive() -> None:
    """Before a page runs that was just opened: the parameters of its link."""
    st.session_state[_LINKED] = set(st.query_params)
    st.session_state.pop(_TO, None)


def named(key: str) -> None:
    """Where what has this key is drawn: a link that names it, by its parameter of that name, lands here."""
    linked = st.session_state.get(_LINKED)
    if linked and key in linked:
        linked.discard(key)
        st.session_state[_TO] = key


def taken() -> str | None:
    """At the page's end: where to, once."""
    return st.session_state.pop(_TO, None)

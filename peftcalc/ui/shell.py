"""What stands around every page: the tab's title, the style, and in the line of the navigation words and projector."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import quote

import streamlit as st

from peftcalc.ui import page
from peftcalc.ui.components.mount import lead
from peftcalc.ui.lessons.words import WORDS
from peftcalc.ui.pages import PAGES, as_page, entry_at
from peftcalc.ui.state import PERSONAL

FOLDER = Path(__file__).parent
_TURNED = "_turned"
"""Whether the page has just been turned: the address of the new one does not say yet that the projector is on."""


def frame() -> None:
    """Before the navigation: its pages' icons would be fetched from another server for the tab if there were none."""
    st.set_page_config(page_icon=_icon(), layout="wide")


def dress(path: str) -> None:
    """Before the page at this address runs: what the browser's tab says, the pages, the words, the projector's switch,
    the style."""
    st.set_page_config(page_title=entry_at(path).tab)
    to = lead([(entry.path, entry.title) for entry in PAGES], path)
    if to in {entry.path for entry in PAGES}:
        st.session_state[_TURNED] = True
        seat = {key: st.query_params[key] for key in PERSONAL if key in st.query_params}
        st.switch_page(as_page(entry_at(str(to))), query_params=seat)
    if st.session_state.pop(_TURNED, False) and page.projector():
        st.session_state[page.PROJECTOR] = True
    with st.popover("Words", type="tertiary", key="words"):
        st.markdown(_words())
    st.toggle("Projector", key=page.PROJECTOR, bind="query-params", help="Larger type for a room, less on the page")
    st.html(style(page.theme_name(), page.projector()))


@cache
def _icon() -> str:
    """The tab's picture as an address of its own: a file would be read and registered anew in every run."""
    return f"data:image/svg+xml,{quote((FOLDER / 'icon.svg').read_text())}"


@cache
def _words() -> str:
    return "\n".join(f"- **{word}**: {meaning}" for word, meaning in WORDS.items())


@cache
def style(theme: str, projector: bool) -> str:
    """The style sheet of this theme, as an element; with the projector's rules when it is on."""
    looks = {"shell": True, "cards": True, "dark": theme == "dark", "projector": projector}
    names = [f"{name}.css" for name, wanted in looks.items() if wanted]
    return "<style>" + "\n".join((FOLDER / "styles" / name).read_text() for name in names) + "</style>"

"""The pages, in the order of the navigation: one page, one question."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peftcalc.app_folder import app_folder

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

FOLDER = app_folder() / "pages"


@dataclass(frozen=True)
class PageEntry:
    """A page's file, its address and its name in the navigation."""

    file: str
    path: str
    """The address; empty for the front page."""
    title: str
    icon: str
    question: str

    @property
    def tab(self) -> str:
        """What the browser's tab says.

        >>> entry_at("train").tab
        'Train · peftcalc'
        """
        return f"{self.title} · peftcalc"


PAGES = (
    PageEntry("home.py", "", "Story", ":material/auto_stories:", "How does a large model learn with few numbers?"),
    PageEntry(
        "parameters.py",
        "parameters",
        "Parameters",
        ":material/grid_on:",
        "How many parameters does each method train?",
    ),
    PageEntry("memory.py", "memory", "Memory", ":material/memory:", "Will it fit on this GPU?"),
    PageEntry("choose.py", "choose", "Choose", ":material/alt_route:", "Which method should I use?"),
    PageEntry("train.py", "train", "Train", ":material/play_circle:", "Five methods learn one task: who gets there?"),
    PageEntry("rank.py", "rank", "Rank", ":material/stairs:", "How low a rank is enough?"),
    PageEntry("dora.py", "dora", "DoRA", ":material/north_east:", "What do direction and magnitude do?"),
    PageEntry(
        "quantization.py",
        "quantization",
        "Quantization",
        ":material/compress:",
        "What do four bits lose?",
    ),
    PageEntry(
        "findings.py",
        "findings",
        "Findings",
        ":material/fact_check:",
        "What has been found about LoRA since 2021, and does it show here?",
    ),
    PageEntry("class.py", "class", "Class", ":material/groups:", "What does a whole class find out together?"),
)


def entry_at(path: str) -> PageEntry:
    """The page with this address."""
    return next(entry for entry in PAGES if entry.path == path)


def as_page(entry: PageEntry) -> StreamlitPage:
    """Streamlit's own record of the page, for the navigation and for links to it.

    Every run of every page needs all of them, and Streamlit looks for each file anew: it is looked for once.
    """
    import streamlit as st
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    found = _found.get(entry.path)
    if found is None:
        file = FOLDER / entry.file
        found = st.Page(file, title=entry.title, icon=entry.icon, url_path=entry.path, default=not entry.path)
        if get_script_run_ctx() is None:  # without a server it is not whole
            return found
        _found[entry.path] = found
    return copy.copy(found)


_found: dict[str, StreamlitPage] = {}


def link_to(path: str, label: str, query: Mapping[str, str] | None = None) -> None:
    """A link from one page to another, where a section of it may be named in the query."""
    import streamlit as st

    st.page_link(as_page(entry_at(path)), label=label, icon=":material/arrow_forward:", query_params=query)

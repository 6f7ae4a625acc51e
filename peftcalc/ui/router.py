"""The script that runs on every visit: the navigation, the frame, then the page of the link."""

from __future__ import annotations

import streamlit as st

from peftcalc.ui import shell, state
from peftcalc.ui.classroom import follow
from peftcalc.ui.pages import PAGES, as_page


def visit() -> None:
    shell.frame()
    page = st.navigation([as_page(entry) for entry in PAGES], position="hidden")
    shell.dress(page.url_path)
    state.arrive(page.url_path)
    follow.frame(page.url_path)
    page.run()
    follow.framed()


if __name__ == "__main__":  # as Streamlit runs it
    visit()

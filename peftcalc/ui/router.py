"""The script that runs on every visit: the frame and the navigation, then the page of the link."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from peftcalc.ui import page as frame
from peftcalc.ui.pages import PAGES, as_page

st.set_page_config(page_title="peftcalc", page_icon=Path(__file__).with_name("icon.svg"), layout="wide")
frame.legible_buttons()

sections = dict.fromkeys(entry.section for entry in PAGES)
page = st.navigation(
    {section: [as_page(entry) for entry in PAGES if entry.section == section] for section in sections}, expanded=True
)
page.run()

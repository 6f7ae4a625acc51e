"""The story: what fine-tuning with few numbers is, in nine pictures to play with, each with a door to its page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from peftcalc.ui import page, state
from peftcalc.ui.components.story import passage, story
from peftcalc.ui.pages import as_page, entry_at
from peftcalc.ui.story.pictures import STORY_CARD
from peftcalc.ui.story.presets import STORY_MODEL

DOOR = "_door"


def main() -> None:
    way = passage(st.session_state.pop(DOOR, None))
    if way is not None:
        st.switch_page(as_page(entry_at(way.path)), query_params=way.query)
    page.open_page(entry_at("").question)
    story(state.chosen("model", STORY_MODEL), state.chosen("gpu", STORY_CARD), on_door=through)
    state.link_notes()


def through(message: Any) -> None:
    """Somebody goes through a door: the page that the next run shows."""
    st.session_state[DOOR] = message


main()

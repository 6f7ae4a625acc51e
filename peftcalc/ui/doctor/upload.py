"""What a visitor pasted, uploaded or named on the hub, read and cut by the workers of `background`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import streamlit as st

from peftcalc.doctor.report import AdapterInspection
from peftcalc.doctor.strangers import GIVEN, About, from_hub
from peftcalc.doctor.work import ARCHIVE, inspection_from_json
from peftcalc.ui import background

LARGEST_FILE_MB = 5
KEPT_ADAPTERS = 8


@st.cache_data(max_entries=KEPT_ADAPTERS, ttl="1h", show_spinner="Looking the adapter up …")
def by_hub_id(name: str) -> tuple[str, bytes | None, About]:
    """By name, for an hour, as for models: the look-up asks the hub, and what is read goes by what it says."""
    return from_hub(name, LARGEST_FILE_MB * 10**6)


def inspected(pasted: str, content: bytes | None, base: str | None, about: About = GIVEN) -> AdapterInspection:
    """What the doctor says of a pasted config (may be empty), an uploaded file (may be None) and a catalogue's base.

    Raises:
        ValueError: damaged, of another format, or too many tensors.
    """
    return background.remembered(
        "inspect",
        {"pasted": pasted, "base": base, "about": asdict(about)},
        lambda made: inspection_from_json(made.record),
        "Reading the adapter …",
        None if content is None else {"tensors": content},
    )


def smaller_adapter(pasted: str, content: bytes, rank: int) -> Callable[[], bytes]:
    """The two files of the smaller adapter as a zip archive, for a button: they are made when it is pressed."""
    return background.when_asked("cut", lambda: {"pasted": pasted, "rank": rank}, ARCHIVE, {"tensors": content})

"""Which card? A row for each, which chooses it when it is clicked, and the largest model of every card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.memory.cards import gpu, gpus
from peftcalc.memory.fit import FIVE_METHODS, Fit, fit, largest_models
from peftcalc.plots.memory import MARKS, VERDICT_COLORS
from peftcalc.ui import page, show, state
from peftcalc.ui.memory.setup import Setup

CARDS = ("T4", "V100 16GB", "RTX 3060 12GB", "RTX 4090", "RTX 5090", "L40S", "A100 80GB", "H100 80GB", "H200")
SHOWN = ("needed memory", "largest batch", "longest sequence")
KEY = "cards-table"
CHOSEN = "_card_row"


def draw(setup: Setup) -> None:
    """The table; a click moves the page's card, and with it the page."""
    if st.session_state.pop(CHOSEN, False):
        st.rerun()
    names = tuple(dict.fromkeys((*CARDS, setup.card.name)))
    fits = {
        name: fit(setup.shapes, name, setup.methods, setup.batch, setup.sequence, **setup.options) for name in names
    }
    shown = state.choice("In each cell", SHOWN, "cell", SHOWN[0])
    frame = pd.DataFrame([_row(name, fits[name], shown, name == setup.card.name) for name in names])
    verdicts = [[one.verdict for one in fits[name]] for name in names]
    st.dataframe(
        frame.style.apply(_colours, axis=None, verdicts=verdicts),
        hide_index=True,
        on_select=_take,
        selection_mode="single-row",
        key=KEY,
        height="content",
        alt=f"Which methods fit on which card: {_spoken(fits)}.",
    )
    st.session_state[f"{KEY}-names"] = names
    st.caption("Click the box of a row to choose its card. ✓ fits, ≈ tight (it hangs on allocator and driver), ✗ not.")
    show.download_csv(_as_csv(fits), "cards")
    _more()


def _row(name: str, fits: list[Fit], shown: str, chosen: bool) -> dict[str, Any]:
    cells = {f.method.label: f"{MARKS[f.verdict]} {_cell(f, shown)}" for f in fits}
    return {"card": f"▸ {name}" if chosen else name, "usable": units.gib(gpu(name).usable_bytes), **cells}


def _cell(one: Fit, shown: str) -> str:
    if shown == SHOWN[0]:
        return units.gib(one.needed.expected_bytes)
    return f"{one.largest_batch if shown == SHOWN[1] else one.largest_sequence:,}"


def _colours(frame: pd.DataFrame, verdicts: list[list[str]]) -> pd.DataFrame:
    """Each cell's ground by its verdict, dim enough for the words on it."""
    rows = [["", "", *(f"background-color: {VERDICT_COLORS[verdict]}55" for verdict in row)] for row in verdicts]
    return pd.DataFrame(rows, index=frame.index, columns=frame.columns)


def _spoken(fits: Mapping[str, Sequence[Fit]]) -> str:
    return ", ".join(f"{one.method.label} on {name}" for name, row in fits.items() for one in row if one.fits) or "none"


def _take() -> None:
    """A row was clicked: its card is the page's."""
    rows = st.session_state[KEY].selection.rows
    if rows:
        state.set_controls({"gpu": st.session_state[f"{KEY}-names"][rows[0]]})
        st.session_state[CHOSEN] = True


def _as_csv(fits: Mapping[str, Sequence[Fit]]) -> pd.DataFrame:
    rows = [
        {
            "gpu": name,
            "method": one.method.label,
            "verdict": one.verdict,
            "needed": one.needed.expected_bytes,
            "usable": one.gpu.usable_bytes,
            "largest_batch": one.largest_batch,
            "largest_sequence": one.largest_sequence,
        }
        for name, row in fits.items()
        for one in row
    ]
    return pd.DataFrame(rows)


def _more() -> None:
    largest = page.folded("The largest model that each card can fine-tune", "largest")
    if largest:
        with largest:
            found = _largest().rename_axis("card").reset_index()
            show.table(found, "largest-models", "The largest model of the catalogue for each card and method")
            st.caption("One sequence of 2,048 tokens, rank 16, gradient checkpointing; estimated.")
    every = page.folded("All cards, with their sources", "all-cards")
    if every:
        with every:
            table = gpus().reset_index().rename(columns=lambda column: column.replace("_", " "))
            show.table(table, "gpus", "Cards, memory, bandwidth and sources")


@st.cache_data(show_spinner="Trying every model on every card …")
def _largest() -> pd.DataFrame:
    return largest_models(CARDS, FIVE_METHODS, checkpointing=True)

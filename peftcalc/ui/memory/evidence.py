"""How accurate is this? Every measured row beside our answer, and what the methods reach where somebody tried them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from functools import lru_cache

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.evidence.rows import EvidenceRow, evidence_rows
from peftcalc.plots.chart import Chart
from peftcalc.plots.evidence.accuracy import accuracy_chart
from peftcalc.plots.evidence.errors import errors_chart
from peftcalc.ui import page, show, state
from peftcalc.ui.memory import quality
from peftcalc.ui.memory.setup import Setup

OF_MEMORY, OF_QUALITY = "memory, measured", "accuracy, published by PEFT"
PICTURES = ("error by card", "measured against estimated")
KNOWN, ALL = "set-up known", "all"
KEY = "evidence-table"


def draw(setup: Setup) -> None:
    """One of two: memory, or quality."""
    which = state.choice("Evidence of", (OF_MEMORY, OF_QUALITY), "evidence", OF_MEMORY)
    if which == OF_QUALITY:
        quality.draw(setup)
    else:
        _of_memory()


def _of_memory() -> None:
    chosen = state.choice("Rows", (KNOWN, ALL), "rows", KNOWN)
    rows = _rows(chosen)
    page.badge("measured", "published by others, and by us on an H100")
    st.markdown(_score(rows))
    picture = state.choice("Picture", PICTURES, "picture", PICTURES[0], label_visibility="collapsed")
    show.chart(_chart(chosen, picture), f"The estimate of memory for each measured row: {picture}.")
    if picture == PICTURES[0]:
        st.caption("Hollow marks were in sight when a rule was set; they judge nothing and stand outside the mean.")
    event = st.dataframe(
        _frame(chosen),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=KEY,
        height=240,
        column_config={"error": st.column_config.NumberColumn(format="%+.1f %%")},
        alt="Measured and estimated memory, every row with its source",
    )
    show.download_csv(_frame(chosen), "accuracy")
    picked = event["selection"]["rows"]
    if picked and picked[0] < len(rows):
        _set_up(rows[picked[0]])
    else:
        st.caption("Click the box of a row for its set-up and source.")


@lru_cache(maxsize=2)
def _rows(chosen: str) -> tuple[EvidenceRow, ...]:
    return tuple(row for row in evidence_rows() if chosen == ALL or row.setup.startswith("known"))


@lru_cache(maxsize=4)
def _chart(chosen: str, picture: str) -> Chart:
    if picture == PICTURES[0]:
        return show.ready(errors_chart(_rows(chosen)))
    rows = [
        {
            "id": row.id,
            "source": row.source,
            "method": row.method,
            "measured": row.measured_bytes,
            "predicted": row.estimated_bytes,
            "error": row.error_percent / 100,
            "by": "estimated",
        }
        for row in _rows(chosen)
    ]
    return show.ready(accuracy_chart(pd.DataFrame(rows)))


_TWO_CARDS = "two cards, whose rule of hooks was found with these rows in sight"


def _score(rows: Sequence[EvidenceRow]) -> str:
    """Mean and worst of the rows that judge, by how attention ran; those of two cards are too few to leave any out."""
    judges = [row for row in rows if row.setup == "known" and (row.gpus > 1 or not row.used_for_calibration)]
    words = {"fused attention, one card": [], "attention written out": [], _TWO_CARDS: []}
    for row in judges:
        kind = _TWO_CARDS if row.gpus > 1 else "attention written out" if row.attention == "eager" else ""
        words[kind or "fused attention, one card"].append(abs(row.error_percent))
    told = [
        f"{kind}: **{statistics.mean(errors):.1f} %** on average, {max(errors):.1f} % at worst ({len(errors)} rows)"
        for kind, errors in words.items()
        if errors
    ]
    for fitted, words_of in ((True, "whose rule was fitted to it"), (False, "where no rule was fitted to it")):
        shown = [
            error for row in judges if row.gpus == 1 and bool(row.reserve_used_for) == fitted for error in _held(row)
        ]
        if shown:
            told.append(
                f"what is reserved or nvidia-smi shows, {words_of}: "
                f"**{100 * statistics.mean(shown):.1f} %** ({len(shown)} rows)"
            )
    return "Off by, where the set-up is known: " + "; ".join(told) + "."


def _held(row: EvidenceRow) -> list[float]:
    """How far the reserve is off, or what nvidia-smi showed where no reserve was taken down."""
    if row.reserved_bytes:
        return [abs(row.estimated_reserved_bytes / row.reserved_bytes - 1)]
    return [abs(row.estimated_process_bytes / row.process_bytes - 1)] if row.process_bytes else []


@st.cache_data
def _frame(chosen: str) -> pd.DataFrame:
    rows = [
        {
            "card": row.card + (f" × {row.gpus}" if row.gpus > 1 else ""),
            "model": row.model.rpartition("/")[2],
            "method": row.method,
            "batch × tokens": f"{row.batch} × {row.sequence:,}",
            "attention": row.attention,
            "checkpointing": row.checkpointing,
            "measured": units.gib(row.measured_bytes),
            "estimated": units.gib(row.estimated_bytes),
            "error": round(row.error_percent, 1) + 0.0,  # −0.0 is 0
            "of": row.quantity,
            "calibrated with": row.used_for_calibration,
            "set-up": row.setup,
            "source": row.source,
        }
        for row in _rows(chosen)
    ]
    return pd.DataFrame(rows)


def _set_up(row: EvidenceRow) -> None:
    """All that is known of one row, and the way to it by the page's controls."""
    with st.container(border=True):
        targets = f", rank {row.rank} on {row.targets}" if row.rank else ""
        st.markdown(
            f"**{page.escape(row.id)}**: {page.escape(row.model)}, {row.method}{page.escape(targets)}, "
            f"{row.batch} × {row.sequence:,} tokens on {page.escape(row.card)}; {page.escape(row.setup)}"
        )
        measured = {row.quantity: row.measured_bytes, "reserved": row.reserved_bytes, "process": row.process_bytes}
        shown = ", ".join(f"{units.gib(size)} {name}" for name, size in measured.items() if size)
        st.markdown(f"Measured {page.escape(shown)}; estimated {units.gib(row.estimated_bytes)}.")
        st.code(json.dumps(json.loads(row.options), indent=None), language="json", wrap_lines=True)
        st.caption(page.escape(" ".join(filter(None, (row.source, row.note, row.used_for)))))

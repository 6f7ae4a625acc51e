"""What others have found about rank since 2024, and whether it comes out again in small models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import streamlit as st

from peftcalc.plots import rank as plots
from peftcalc.ui import page, show
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.findings import BEST_RATES, CAPACITY, FINDINGS, LEARNED_BY_HEART, LEARNING_RATE, MEASURED

if TYPE_CHECKING:
    from peftcalc.ui.lessons.findings import Finding, Outcome

LOOKS: dict[Outcome, tuple[Literal["green", "orange", "gray"], str]] = {
    "reproduces": ("green", ":material/check:"),
    "not here": ("orange", ":material/close:"),
    "not resolved": ("gray", ":material/question_mark:"),
}


def findings() -> None:
    st.markdown(
        "What others have found about rank since 2024, tried again with models of below a million parameters. Guess "
        "each answer below before you open it."
    )
    heart, rates = st.columns(2, gap="medium")
    with heart:
        st.markdown("**A rank has a capacity**: images with random labels, learned by heart")
        rows = [
            {"images": f"{images} images", "rank": rank, "accuracy": accuracy}
            for images, by_rank in LEARNED_BY_HEART.items()
            for rank, accuracy in by_rank.items()
        ]
        told = "; ".join(f"{row['images']}, rank {row['rank']}: {row['accuracy']:g}" for row in rows)
        show.chart(plots.capacity_chart(rows), f"Training accuracy on random labels by rank. {told}.")
        _came(CAPACITY)
    with rates:
        st.markdown("**The best learning rate hardly knows the rank**")
        best = [{"rank": rank, "rate": rate} for rank, rate in BEST_RATES.items()]
        told = "; ".join(f"rank {row['rank']}: {row['rate']:.2g}" for row in best)
        show.chart(plots.best_rates_chart(best), f"Best learning rate by rank. {told}.")
        _came(LEARNING_RATE)
    page.badge("measured", MEASURED)
    for finding in FINDINGS:
        with st.expander(finding.question, type="compact"):
            _came(finding)
    lessons.show_notebook("07_findings", "findings")


def _came(finding: Finding) -> None:
    color, icon = LOOKS[finding.outcome]
    st.badge(finding.outcome, color=color, icon=icon)
    st.markdown(f"{finding.figures} :small[({finding.source})]")

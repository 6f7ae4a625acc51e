"""The first screen of the page on memory: five bars at the card's line, each with its verdict and its hours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import streamlit as st

from peftcalc import units
from peftcalc.memory.cards import Gpu
from peftcalc.memory.fit import Fit
from peftcalc.methods import METHODS, Method
from peftcalc.models.shapes import ModelShapes
from peftcalc.plots import memory as plots
from peftcalc.speed.estimate import estimate_speed
from peftcalc.speed.records import SpeedEstimate
from peftcalc.speed.run import RunCost, run_cost
from peftcalc.ui import headline, page, show
from peftcalc.ui.memory.setup import Setup


@dataclass(frozen=True)
class Timed:
    """How long the visitor's data takes with one method."""

    speed: SpeedEstimate
    run: RunCost

    @property
    def hours(self) -> str:
        return _hours(self.run.hours)

    @property
    def span(self) -> str:
        return f"{_hours(self.run.low_hours)} to {_hours(self.run.high_hours)}"


def times(setup: Setup, fits: list[Fit]) -> dict[str, Timed]:
    """By the label of what fits; of the first where nothing does, and empty where time is not estimated here.

    Time on this card or of this model is estimated for all methods or for none.
    """
    options = tuple(sorted({**setup.options, "kernels": setup.kernels}.items()))
    sizes = setup.batch, setup.sequence, options, setup.tokens, setup.price
    shown = [one.method for one in fits if one.fits] or [one.method for one in fits[:1]]
    try:
        return {method.label: _timed(setup.shapes, method, setup.card, *sizes) for method in shown}
    except ValueError:
        return {}


@lru_cache(maxsize=1024)
def _timed(
    shapes: ModelShapes,
    method: Method,
    card: Gpu,
    batch: int,
    sequence: int,
    options: tuple[tuple[str, Any], ...],
    tokens: int,
    price: float,
) -> Timed:
    speed = estimate_speed(shapes, method, card, batch, sequence, **dict(options))
    return Timed(speed, run_cost(speed, tokens, price=price or None))


def draw(setup: Setup, fits: list[Fit]) -> None:
    """The picture, and folded below it the same as a table, whose largest sizes are solved for when it is opened."""
    timed = times(setup, fits)
    with st.container(key="answer-memory", gap=None):
        headline.show(said(setup.card.name, fits))
        _bars(setup, fits, timed)
    _said_of_all(setup, fits, timed)
    table = page.folded("As a table: what it needs, what nvidia-smi will show, the largest batch and sequence", "table")
    if table:
        with table:
            _table(setup, fits, timed)
    for note in dict.fromkeys(_notes(setup, fits, timed)):
        st.info(page.escape(note), icon=":material/info:")


def said(card: str, fits: list[Fit]) -> str:
    """Which methods fit, in one line; in the colours of the verdicts, since the bars have those of their parts."""
    parts: list[str] = []
    for verdict, mark in plots.MARKS.items():
        these = [one.method.name for one in fits if one.verdict == verdict]
        one = len(these) == 1
        verb = {"fits": "fits" if one else "fit", "tight": "may just fit"}.get(
            verdict, f"{'does' if one else 'do'} not{'' if parts else ' fit'}"
        )
        parts += [f"{mark} {headline.names(these, plots.TOLD_COLORS[mark])} {verb}"] if these else []
    return f"On {card}: {', '.join(parts)}.".replace("All five</b> do not fit", "None of the five</b> fits")


def _bars(setup: Setup, fits: list[Fit], timed: dict[str, Timed]) -> None:
    card = setup.card
    said = {f.method.label: _said(f, timed) for f in fits}
    spoken = ", ".join(f"{f.method.label} {units.gib(f.estimate.total)}, {said[f.method.label]}" for f in fits)
    allowance = fits[0].needed.expected_bytes - fits[0].needed.peak_bytes
    show.chart(
        plots.bars_chart({f.method.label: f.estimate for f in fits}, card.usable_bytes, card.name, allowance, said),
        f"Peak memory by part for each method against {card.name} with {units.gib(card.usable_bytes)}: {spoken}.",
    )


def _said(one: Fit, timed: dict[str, Timed]) -> str:
    """The verdict, and the hours of what can run."""
    mark = f"{plots.MARKS[one.verdict]} {one.verdict}"
    time = timed.get(one.method.label)
    return f"{mark} · {time.hours} h" if time and one.fits else mark


def _said_of_all(setup: Setup, fits: list[Fit], timed: dict[str, Timed]) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        page.badge("estimated", "in closed form")
        hours = f"Hours for {setup.tokens:,} tokens." if timed else ""
        st.caption(f"Attention kernel: {fits[0].estimate.kernel or 'none'}. {hours}")


def _table(setup: Setup, fits: list[Fit], timed: dict[str, Timed]) -> None:
    rows = []
    for one in fits:
        row: dict[str, object] = {
            "method": one.method.label,
            "allocated": units.gib(one.estimate.total),
            "needs": units.between(one.needed.expected_bytes, one.needed.high_bytes),
            "verdict": one.verdict,
            "nvidia-smi shows": f"≈ {units.gib(one.needed.shown_bytes)}",
            "largest batch": one.largest_batch,
            "longest sequence": one.largest_sequence,
        }
        time = timed.get(one.method.label)
        if timed and not one.fits:
            row |= {"tokens a second": "–", "hours": "–"}
        elif time:
            row |= {"tokens a second": f"{time.speed.tokens_per_second:,.0f}", "hours": f"{time.hours} ({time.span})"}
            if time.run.money is not None:
                row["money"] = f"{time.run.money:,.2f} ({time.run.low_money:,.2f} to {time.run.high_money:,.2f})"
        rows.append(row)
    grouped = dict.fromkeys(("largest batch", "longest sequence"), "localized")
    st.caption(
        "**Does it fit?** From what its tensors and the CUDA context need at least to what they need if no block of "
        "the allocator is used twice: between the two it is tight. **What will nvidia-smi show?** What the allocator "
        "reserves where there is room, and the context; nine of ten measured runs lie within 10 %. Hours in brackets: "
        "the range in which a measurement is expected."
    )
    show.table(
        rows,
        "fit",
        f"Which methods fit on the {setup.card.name}, up to which sizes, and how long they take",
        **grouped,
    )


def _notes(setup: Setup, fits: list[Fit], timed: dict[str, Timed]) -> list[str]:
    notes = [note for f in fits for note in f.estimate.notes]
    if not timed:
        notes.append(f"how long a step takes is not estimated for this model on {setup.card.name}")
    left_out = " and ".join(METHODS[name].label for name in setup.refused)
    return notes + [f"without {left_out}: {sentence}" for sentence in dict.fromkeys(setup.refused.values())]


def _hours(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"

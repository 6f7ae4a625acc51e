"""What is alpha? The map of α and the learning rate, and wide ranks with three scalings."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import streamlit as st

from peftcalc.lab.findings.numbers import chosen
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.methods import LoRA
from peftcalc.plots.findings.alpha import alpha_chart
from peftcalc.ui import page, show
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.learning_rate import LIVE_RATES, UNIT
from peftcalc.ui.findings.live_runs import LiveClaim, Planned, section
from peftcalc.ui.findings.points import Point, lowest, points
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.findings.rates import ALPHA

NAME = "alpha"
RANK = 8
ALPHAS = (1, 4, 16, 64)
KNOWN = 16
"""The α that is shown before the guess."""
CODE = """\
from peftcalc.lab.sweeps.maps import alpha_map

for cell in alpha_map(seeds=4):  # α = 1, 4, 16, 64 at five rates, rank 8: 80 runs
    print(cell.label, cell.validation)
"""


def _runs(seed: int) -> list[Planned]:
    settings = {"task": "digits", "steps": 200, "evaluations": 4, "method": "lora", "rank": RANK}
    return [
        Planned(f"{alpha}", rate, seed, {**settings, "alpha": alpha, "learning_rate": rate})
        for alpha in ALPHAS
        for rate in LIVE_RATES
    ]


LIVE = LiveClaim("alpha", _runs, lambda look: look.get("validation"), 4.0)


@lessons.taught(ALPHA, "alpha-map")
def alpha() -> None:
    if section(NAME, "alpha-map", ALPHA, LIVE, _stored, lambda one: one["series"] == f"{KNOWN}", _draw):
        _wide()
        frame.runs(NAME, CODE)


@functools.lru_cache(maxsize=2)
def _stored(guessed: bool) -> tuple[Point, ...]:
    """One α alone before the guess."""
    rows = [row for row in chosen(stored_finding(NAME).rows, rank=RANK) if guessed or row["scale"] == KNOWN / RANK]
    return tuple(points(rows, lambda row: f"{RANK * row['scale']:g}", "learning_rate", "validation"))


def _draw(came: Sequence[Point]) -> None:
    found = sorted(came, key=lambda one: float(one["series"]))
    told = "; ".join(f"α {name} lowest at {one['x']:.2g} with {one['mean']:.3g}" for name, one in lowest(found).items())
    show.chart(alpha_chart(found, UNIT), f"Held-out loss by α and learning rate: {told or 'nothing yet'}.")
    st.caption(f"Rank {RANK}. A cell is a mean of its seeds; framed, the lowest of an α. Empty: some run diverged.")


def _wide() -> None:
    """Rank 64: a quarter, twice, and rank-stabilised, which is the same as twice."""
    quarter, twice, stable = (LoRA(rank=64, alpha=16), LoRA(rank=64, alpha=128), LoRA(rank=64, alpha=16, rslora=True))
    st.markdown(
        f"At rank 64 α = 16 (QLoRA's paper) is a scaling of **{quarter.scaling:g}**, α = 2r of **{twice.scaling:g}**, "
        f"and rsLoRA, which divides by √r, at α = 16 of **{stable.scaling:g}**: α = 128 under another name. The row "
        f"α = {RANK * twice.scaling:g} of the map has that scaling."
    )
    page.badge("exact")

"""A real update: its spectrum, and the loss that each rank reached."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from peftcalc.geometry.spectrum import Spectrum
from peftcalc.lab.comparison import Interval, interval
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.plots import rank as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import rank as data
from peftcalc.ui.lessons.rank import REAL


@lessons.taught(REAL, "real")
def real_update() -> None:
    controls, result = page.controls_and_result("real", 0.24)
    with controls:
        task = state.menu("Task", ("digits", "names"), "task", "digits", lambda key: TASKS[key].title)
        rank = state.slider("Energy within rank", data.REAL_RANKS, "within", 4)
        st.caption(
            "**Energy**: squares of singular values, how strongly a matrix acts along each of its directions. "
            "**Nat**: the unit of the loss, 1.44 bits of surprise a guess."
        )
    with result:
        guessed = lessons.show_prediction(REAL, "real")
        spectrum, losses = st.columns(2, gap="medium")
        with spectrum:
            _spectrum(task, rank, guessed)
        with losses:
            _losses(task)
        page.badge("stored run", f"{stored_lesson('rank-real').made}; spectra of seed 0")


def _spectrum(task: str, rank: int, guessed: bool) -> None:
    """What full fine-tuning changed; before the guess only what chance would have."""
    st.markdown("**What full fine-tuning changed**")
    frame, matrices = _energies(task, guessed)
    trained, random = (data.energy_within(task, rank, kind) for kind in ("trained", "random"))
    if guessed:
        st.markdown(
            f"Rank {rank} holds **{trained:.0%}** of a matrix's change (median of {matrices} matrices); of a random "
            f"matrix as large it would hold {random:.0%}."
        )
    else:
        st.markdown(f"Of a random matrix as large, rank {rank} holds {random:.0%}. Trained ones open with your guess.")
    show.chart(
        plots.energy_chart(frame, rank),
        f"Share of the update's energy within each rank: {f'{trained:.0%} at rank {rank}, against ' if guessed else ''}"
        f"{random:.0%} for random matrices.",
    )
    st.caption("Thin: each matrix; thick: their median; dashed: random matrices.")
    show.download_csv(frame, f"energy-{task}")


@functools.lru_cache(maxsize=8)
def _energies(task: str, guessed: bool) -> tuple[pd.DataFrame, int]:
    """A row a matrix, kind and rank (before the guess of random matrices only), and the number of matrices."""
    records = [record for record in stored_lesson("rank-spectrum").records if record["task"] == task]
    largest = max(len(record["singular_values"]) for record in records)
    shares = {kind: np.ones((len(records), largest)) for kind in ("trained", "random")}  # a smaller matrix ends at 1
    for place, record in enumerate(records):
        for kind, key in (("trained", "singular_values"), ("random", "random")):
            shares[kind][place, : len(record[key])] = Spectrum(np.array(record[key])).energy
    names = [record["matrix"] for record in records]
    parts = [*((name, "trained", row) for name, row in zip(names, shares["trained"], strict=True)),
             ("median", "median", np.median(shares["trained"], axis=0)),
             ("random", "random", np.median(shares["random"], axis=0))]  # fmt: skip
    ranks = np.arange(1, largest + 1)
    tables = [pd.DataFrame({"matrix": name, "kind": kind, "rank": ranks, "share": row}) for name, kind, row in parts]
    return pd.concat(tables if guessed else tables[-1:], ignore_index=True), len(records)


@dataclass(frozen=True, eq=False)
class Reached:
    """Held-out losses of a task: by rank with intervals, of full fine-tuning, and the gain of the highest rank."""

    by_rank: pd.DataFrame
    full: float
    gain: Interval


@functools.lru_cache(maxsize=4)
def _reached(task: str) -> Reached:
    losses = data.real_losses(task)
    rows = []
    for rank in data.REAL_RANKS:
        found = interval(losses[str(rank)])
        low, high = found.mean - found.half_width, found.mean + found.half_width
        rows.append({"rank": rank, "mean": found.mean, "low": low, "high": high, "seeds": found.count})
    highest = losses[str(data.REAL_RANKS[-1])]
    gain = interval([low - high for low, high in zip(losses["1"], highest, strict=True)])
    return Reached(pd.DataFrame(rows), interval(losses["full"]).mean, gain)


def _losses(task: str) -> None:
    st.markdown("**What each rank reached**")
    reached = _reached(task)
    gain, means = reached.gain, dict(zip(data.REAL_RANKS, reached.by_rank["mean"].tolist(), strict=True))
    first, last = data.REAL_RANKS[0], data.REAL_RANKS[-1]
    st.markdown(
        f"Held-out loss **{means[first]:.3f}** at rank {first}, **{means[last]:.3f}** at rank {last}; "
        f"full fine-tuning {reached.full:.3f} (dotted)."
    )
    show.chart(
        plots.loss_chart(reached.by_rank, reached.full, TASKS[task].unit.removeprefix("cross-entropy in ")),
        "Held-out loss by rank: " + ", ".join(f"rank {rank}: {mean:.3f}" for rank, mean in means.items()) + ".",
    )
    sure = "beyond chance at 95 %" if gain.mean > gain.half_width else "which may be chance"
    st.caption(
        f"Paired by seed the gain from rank {first} to {last} is {gain.mean:.3f} ± {gain.half_width:.3f} "
        f"(n = {gain.count}), {sure}. Bars: 95 % intervals over seeds (Student's t), unpaired. A model of below a "
        "million parameters."
    )
    show.download_csv(reached.by_rank, f"loss-by-rank-{task}")

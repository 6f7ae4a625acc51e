"""A real update: its spectrum, and the loss that each rank reached."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from peftcalc.geometry.spectrum import Spectrum
from peftcalc.lab.comparison import interval
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.plots import rank as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import rank as data
from peftcalc.ui.lessons.rank import REAL


@st.fragment
def real_update() -> None:
    st.header("A real update: how low is low-rank?", anchor="real-update")
    lessons.show_presets(REAL, "real")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        task = state.menu("Task", ("digits", "names"), "task", "digits", lambda key: TASKS[key].title)
        rank = state.slider("Energy within rank", data.REAL_RANKS, "within", 4)
    with result:
        page.badge("stored run", f"{stored_lesson('rank-real').made}; spectra of seed 0")
        spectrum, losses = st.columns(2, gap="medium")
        with spectrum:
            _spectrum(task, rank)
        with losses:
            _losses(task)
    lessons.show_try_this(REAL, "real")
    state.link_notes()


def _spectrum(task: str, rank: int) -> None:
    st.subheader("What full fine-tuning changed", anchor=False)
    frame, at_rank = _energies(task), {}
    for kind in ("trained", "random"):
        at_rank[kind] = frame.query("kind == @kind and rank == @rank")["share"].median()
    matrices = frame.query("kind == 'trained'")["matrix"].nunique()
    st.markdown(
        f"Rank {rank} holds **{at_rank['trained']:.0%}** of a matrix's change (median of {matrices} matrices); of a "
        f"random matrix as large it would hold {at_rank['random']:.0%}."
    )
    show.chart(
        plots.energy_chart(frame, rank),
        f"Share of the update's energy within each rank: {at_rank['trained']:.0%} at rank {rank}, "
        f"against {at_rank['random']:.0%} for random matrices.",
    )
    st.caption("Thin: each matrix; thick: their median; dotted: random matrices.")
    show.download_csv(frame, f"energy-{task}")


@st.cache_data(show_spinner=False)
def _energies(task: str) -> pd.DataFrame:
    records = [record for record in stored_lesson("rank-spectrum").records if record["task"] == task]
    largest = max(len(record["singular_values"]) for record in records)
    rows = []
    for record in records:
        for kind, key in (("trained", "singular_values"), ("random", "random")):
            energy = np.ones(largest)  # a smaller matrix is whole at its own largest rank
            energy[: len(record[key])] = Spectrum(np.array(record[key])).energy
            rows += [(record["matrix"], kind, rank, share) for rank, share in enumerate(energy, 1)]
    frame = pd.DataFrame(rows, columns=["matrix", "kind", "rank", "share"])
    trained, random = frame.query("kind == 'trained'"), frame.query("kind == 'random'")
    middle, expected = (part.groupby("rank", as_index=False).agg({"share": "median"}) for part in (trained, random))
    levels = [middle.assign(matrix="median", kind="median"), expected.assign(matrix="random", kind="random")]
    return pd.concat([trained, *levels], ignore_index=True)


def _losses(task: str) -> None:
    st.subheader("What each rank reached", anchor=False)
    losses = data.real_losses(task)
    rows = []
    for rank in data.REAL_RANKS:
        found = interval(losses[str(rank)])
        low, high = found.mean - found.half_width, found.mean + found.half_width
        rows.append({"rank": rank, "mean": found.mean, "low": low, "high": high, "seeds": found.count})
    frame, full = pd.DataFrame(rows), interval(losses["full"])
    gain = interval([low - high for low, high in zip(losses["1"], losses[str(data.REAL_RANKS[-1])], strict=True)])
    sure = "beyond chance at 95 %" if gain.mean > gain.half_width else "which may be chance"
    st.markdown(
        f"Held-out loss {rows[0]['mean']:.3f} at rank 1, {rows[-1]['mean']:.3f} at rank {rows[-1]['rank']}; "
        f"full fine-tuning {full.mean:.3f} (dotted). Paired by seed the gain is "
        f"{gain.mean:.3f} ± {gain.half_width:.3f} (n = {gain.count}), {sure}."
    )
    show.chart(
        plots.loss_chart(frame, full.mean, TASKS[task].unit),
        "Held-out loss by rank: " + ", ".join(f"rank {row['rank']}: {row['mean']:.3f}" for row in rows) + ".",
    )
    st.caption("Bars: 95 % intervals over seeds (Student's t), unpaired. A model of below a million parameters.")
    show.download_csv(frame, f"loss-by-rank-{task}")

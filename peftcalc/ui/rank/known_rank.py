"""A teacher of known rank: the floor under every adapter, and what LoRA reached."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from peftcalc.geometry.rank_bound import SPECTRA, known_floor
from peftcalc.jobs.job import Job
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.plots import rank as plots
from peftcalc.ui import live, page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import rank as data
from peftcalc.ui.lessons.rank import KNOWN

SLOT = "rank"


def known_rank() -> None:
    st.header("A teacher of known rank", anchor="known-rank")
    lessons.show_presets(KNOWN, "known")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        teacher_rank = state.slider("Rank of the teacher's update", data.TEACHER_RANKS, "k", 4)
        spectrum = state.choice("Its singular values", SPECTRA, "spectrum", "equal")
        live.train_button(SLOT, "Train LoRA now", _train, (teacher_rank, spectrum))
    floor = known_floor(teacher_rank, spectrum)
    with result:
        live.watch(SLOT, _look)
        if live.current(SLOT) is None:
            stored = stored_lesson("rank-known")
            losses = data.trained_losses(teacher_rank, spectrum)
            seeds = len(next(iter(losses.values())))
            page.badge("exact", "the line, known before training")
            page.badge("stored run", f"the squares, {seeds} teachers each; {stored.made}")
            _floor_chart(floor, {rank: float(np.mean(values)) for rank, values in losses.items()})
    with st.expander("The formula, with these numbers, and as code"):
        _floor_formula(teacher_rank, spectrum, floor)
    lessons.show_prediction(KNOWN, "known")
    lessons.show_try_this(KNOWN, "known")


def _train(teacher_rank: int, spectrum: str) -> None:
    """LoRA of every rank against one teacher, half of them on each worker."""
    st.session_state["_teacher"] = (teacher_rank, spectrum)
    shared = {"task": "rank", "teacher_rank": teacher_rank, "spectrum": spectrum, "method": "lora", "seed": 0}
    runs = [{**shared, "run": str(rank), "rank": rank, "alpha": 2 * rank} for rank in data.KNOWN_RANKS]
    workers = min(live.queue().workers, len(runs))
    live.submit(SLOT, "finetune", [{"runs": runs[start::workers]} for start in range(workers)])


def _look(job: Job) -> None:
    teacher_rank, spectrum = st.session_state["_teacher"]
    losses = {int(record["run"]): record["loss"] for record in job.records if record.get("loss") is not None}
    page.badge("measured", f"teacher of rank {teacher_rank}, {spectrum} singular values, seed 0")
    _floor_chart(known_floor(teacher_rank, spectrum), losses)


def _floor_chart(floor: np.ndarray, losses: dict[int, float]) -> None:
    line = pd.DataFrame([(rank, floor[rank]) for rank in data.KNOWN_RANKS], columns=["rank", "floor"])
    trained = pd.DataFrame(sorted(losses.items()), columns=["rank", "loss"])
    told = ", ".join(f"rank {rank}: {loss:.3g}" for rank, loss in sorted(losses.items()))
    show.chart(
        plots.floor_chart(line, trained),
        f"Error by rank. Predicted floor: {', '.join(f'rank {r}: {floor[r]:.3g}' for r in data.KNOWN_RANKS)}. "
        f"Trained LoRA: {told or 'nothing yet'}.",
    )
    st.caption("Grey: what no adapter of this rank can pass below (Eckart and Young). Squares: LoRA, trained.")
    show.download_csv(line.merge(trained, on="rank", how="left"), "floor-and-trained")


def _floor_formula(teacher_rank: int, spectrum: str, floor: np.ndarray) -> None:
    st.latex(
        r"\min_{\operatorname{rank}(BA) \le r} \frac{\lVert \Delta W - BA \rVert^2}{\lVert \Delta W \rVert^2} "
        r"= \frac{\sum_{i > r} \sigma_i^2}{\sum_i \sigma_i^2}"
    )
    energies = np.ones(teacher_rank) if spectrum == "equal" else 1 / np.arange(1, teacher_rank + 1)
    half = max(1, teacher_rank // 2)
    st.latex(rf"r = {half}: \quad {energies[half:].sum():.4g} / {energies.sum():.4g} = {floor[half]:.4g}")
    show.code(
        "import peftcalc as pc\nfrom peftcalc.geometry.rank_bound import known_floor\n\n"
        f'print(known_floor({teacher_rank}, "{spectrum}"))\n'
        f'*_, last = pc.finetune("rank", pc.LoRA(rank={half}, alpha={2 * half}), teacher_rank={teacher_rank}, '
        f'spectrum="{spectrum}")\nprint(last.loss)',
        "known_rank.py",
    )

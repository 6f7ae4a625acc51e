"""A teacher of known rank: the floor under every adapter, what LoRA reached, and such an update as a product."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import streamlit as st

from peftcalc.geometry.rank_bound import SPECTRA, known_floor
from peftcalc.jobs.job import Job
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.plots import rank as plots
from peftcalc.ui import cards, live, page, show, state
from peftcalc.ui.components.product import product
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import predict
from peftcalc.ui.lessons import rank as data
from peftcalc.ui.lessons.rank import KNOWN
from peftcalc.ui.rank import parts
from peftcalc.ui.rank.parts import SIZE

SLOT = "rank"


@lessons.taught(KNOWN, "known")
def known_rank() -> None:
    controls, result = page.controls_and_result("known")
    with controls:
        teacher_rank = state.slider("Parts of the change to be learned: its rank", data.TEACHER_RANKS, "k", 4)
        spectrum = state.choice("Their strength (singular values)", SPECTRA, "spectrum", "equal")
        live.train_button(SLOT, "Train LoRA now", _train, (teacher_rank, spectrum))
        st.caption(
            "A part is one column times one row. How strong it is, is its **singular value**; the square of that is "
            "the part's **energy**. The matrix to be learned is the **teacher**'s."
        )
    with result:
        guessed = lessons.show_prediction(KNOWN, "known")
        live.watch(SLOT, _look)
        if not guessed:
            _asked_for(teacher_rank, spectrum)
        elif live.current(SLOT) is None:
            _stored(teacher_rank, spectrum)
    show.folded(
        "The formula, with these numbers, and as code",
        "known",
        functools.partial(_floor_formula, teacher_rank, spectrum),
    )
    _as_a_product(teacher_rank, spectrum)


def _asked_for(teacher_rank: int, spectrum: str) -> None:
    """Before the guess: what is to be learned as the sum of its parts, and an empty place for each rank's answer."""
    asked = KNOWN.prediction is not None and KNOWN.prediction.parameters == {"k": teacher_rank, "spectrum": spectrum}
    many = f"one matrix, the sum of {teacher_rank} parts" if teacher_rank > 1 else "one matrix of a single part"
    strong = "" if teacher_rank == 1 else " of equal strength" if spectrum == "equal" else ", each weaker than the last"
    waiting = "how much of it each rank must miss, and what LoRA, trained, missed"
    cards.draw(
        cards.line("What is to be learned:", f"{many}{strong}")
        + parts.as_a_sum(teacher_rank, spectrum, page.theme_name(), asked)
        + cards.line("? With your guess:", waiting, "ahead")
        + parts.places(asked)
    )


def _stored(teacher_rank: int, spectrum: str) -> None:
    stored = stored_lesson("rank-known")
    losses = data.trained_losses(teacher_rank, spectrum)
    seeds = len(next(iter(losses.values())))
    _floor_chart(teacher_rank, spectrum, {rank: float(np.mean(values)) for rank, values in losses.items()})
    page.badge("exact", "the line, known before training")
    page.badge("stored run", f"the squares, {seeds} teachers each; {stored.made}")


def _train(teacher_rank: int, spectrum: str) -> None:
    """LoRA of every rank against one teacher, half of them on each worker."""
    st.session_state["_teacher"] = (teacher_rank, spectrum)
    shared = {"task": "rank", "teacher_rank": teacher_rank, "spectrum": spectrum, "method": "lora", "seed": 0}
    runs = [{**shared, "run": str(rank), "rank": rank, "alpha": 2 * rank} for rank in data.KNOWN_RANKS]
    workers = min(live.queue().workers, len(runs))
    live.submit(SLOT, "finetune", [{"runs": runs[start::workers]} for start in range(workers)])


def _look(job: Job) -> None:
    if predict.guessed("known") is None:
        st.caption("It trains; what it reaches opens with your guess.")
        return
    teacher_rank, spectrum = st.session_state["_teacher"]
    losses = {int(record["run"]): record["loss"] for record in job.records if record.get("loss") is not None}
    _floor_chart(teacher_rank, spectrum, losses)
    page.badge("measured", f"teacher of rank {teacher_rank}, {spectrum} singular values, seed 0")


def _floor_chart(teacher_rank: int, spectrum: str, losses: dict[int, float]) -> None:
    floor = known_floor(teacher_rank, spectrum)
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


def _as_a_product(teacher_rank: int, spectrum: str) -> None:
    st.markdown(f"##### Such an update as B times A, {SIZE} × {SIZE}")
    st.markdown(
        "There are as many singular values as the rank. Drag B and A as you like: they grow and shrink, and never "
        "become more. Lower the rank, and they become fewer."
    )
    W, B, A = data.teacher_factors(teacher_rank, spectrum, SIZE)
    product(W, B, A, rank=teacher_rank, alpha=teacher_rank, key="teacher", link=False)


def _floor_formula(teacher_rank: int, spectrum: str) -> None:
    st.latex(
        r"\min_{\operatorname{rank}(BA) \le r} \frac{\lVert \Delta W - BA \rVert^2}{\lVert \Delta W \rVert^2} "
        r"= \frac{\sum_{i > r} \sigma_i^2}{\sum_i \sigma_i^2}"
    )
    half = max(1, teacher_rank // 2)
    energies = np.ones(teacher_rank) if spectrum == "equal" else 1 / np.arange(1, teacher_rank + 1)
    floor = known_floor(teacher_rank, spectrum)[half]
    st.latex(rf"r = {half}: \quad {energies[half:].sum():.4g} / {energies.sum():.4g} = {floor:.4g}")
    show.code(
        "import peftcalc as pc\nfrom peftcalc.geometry.rank_bound import known_floor\n\n"
        f'print(known_floor({teacher_rank}, "{spectrum}"))\n'
        f'*_, last = pc.finetune("rank", pc.LoRA(rank={half}, alpha={2 * half}), teacher_rank={teacher_rank}, '
        f'spectrum="{spectrum}")\nprint(last.loss)',
        "known_rank.py",
    )

"""Dropout: training and held-out loss by rate."""

from __future__ import annotations

import functools

import pandas as pd
import streamlit as st

from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.plots import rank as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import rank as data
from peftcalc.ui.lessons.rank import DROPOUT


@lessons.taught(DROPOUT, "dropout")
def dropout() -> None:
    controls, result = page.controls_and_result("dropout", 0.24)
    with controls:
        chosen = state.several("Dropout", data.DROPOUT_RATES, "dropouts", list(data.DROPOUT_RATES), "{:g}".format)
        st.markdown(
            "In every step that share of the input's entries is left out, so that no single one can be relied on. The "
            "QLoRA paper uses 0.1 for models of 7 to 13 billion parameters, 0.05 for 33 to 65 billion."
        )
        st.caption("**Nat**: the unit of the loss, 1.44 bits of surprise at each character.")
    rates = [rate for rate in data.DROPOUT_RATES if rate in chosen] or list(data.DROPOUT_RATES)
    with result:
        guessed = lessons.show_prediction(DROPOUT, "dropout")
        frame = _dropout_frame()
        highest = 1.05 * frame["loss"].to_numpy().max()
        if not guessed:
            frame = pd.DataFrame(frame[frame["curve"] == "training"])
        for column, rate in zip(st.columns(len(rates)), rates, strict=True):
            with column:
                _panel(pd.DataFrame(frame[frame["dropout"] == rate]), rate, highest, guessed)
        st.caption(_told(guessed))
        page.badge("stored run", stored_lesson("rank-dropout").made)
        show.download_csv(frame, "dropout")
    show.folded("The formula, with these numbers, and as code", "dropout", functools.partial(_formula, tuple(rates)))


def _panel(frame: pd.DataFrame, rate: float, highest: float, guessed: bool) -> None:
    training, held_out = (data.dropout_end(rate, what) for what in ("training", "validation"))
    ends = f"training {training:.2f}" + (f", held out {held_out:.2f}" if guessed else "")
    st.markdown(f"**Dropout {rate:g}**: {ends}")
    show.chart(plots.dropout_chart(frame, highest), f"Dropout {rate:g}, losses at the end: {ends}.")


def _told(guessed: bool) -> str:
    records = stored_lesson("rank-dropout").records
    seeds = len({record["seed"] for record in records})
    told = (
        f"LoRA of rank 16 on 82 Finnish city names, {data.DROPOUT_STEPS} steps, mean of {seeds} seeds; training loss "
        "with dropout on, mean of ten batches, so it is also higher by the noise. All panels share their axes. "
    )
    if not guessed:
        return told + "The loss on new names opens with your guess."
    start = next(record["validation"] for record in records if record["step"] == 0)
    worse = sum(data.dropout_end(rate, "validation") > start for rate in data.DROPOUT_RATES)
    return told + (
        f"The base starts at {start:.2f}: {worse} of {len(data.DROPOUT_RATES)} rates end worse on new names, dropout "
        "or not."
    )


def _formula(rates: tuple[float, ...]) -> None:
    rate = rates[-1]
    st.latex(r"W x + s \cdot B A\, \frac{x \odot z}{1 - p}, \qquad z_i \sim \text{Bernoulli}(1 - p)")
    st.latex(rf"p = {rate:g}: \quad \tfrac{{1}}{{1 - p}} = {1 / (1 - rate):.4g}")
    show.code(
        f"import peftcalc as pc\n\nfor rate in {list(rates)}:\n"
        "    method = pc.LoRA(rank=16, alpha=32, dropout=rate)\n"
        f'    run = pc.finetune("names:Finland", method, steps={data.DROPOUT_STEPS}, evaluations=6)\n'
        "    for record in run:\n        print(rate, record.step, record.loss, record.validation)",
        "dropout.py",
    )


@functools.lru_cache(maxsize=1)
def _dropout_frame() -> pd.DataFrame:
    """Means over seeds, one row a rate, curve and step."""
    means = {"training": "mean", "validation": "mean"}
    records = stored_lesson("rank-dropout").records
    frame = pd.DataFrame(records).groupby(["dropout", "step"], as_index=False).agg(means)
    frame = frame.rename(columns={"validation": "held out"})
    return frame.melt(["dropout", "step"], ["training", "held out"], "curve", "loss")

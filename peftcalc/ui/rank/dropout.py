"""Dropout: training and held-out loss by rate."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.plots import rank as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import rank as data
from peftcalc.ui.lessons.rank import DROPOUT


@st.fragment
def dropout() -> None:
    st.header("Dropout: against learning by heart", anchor="dropout")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        chosen = state.several("Dropout", data.DROPOUT_RATES, "dropouts", list(data.DROPOUT_RATES), "{:g}".format)
        st.markdown("The QLoRA paper uses 0.1 for models of 7 to 13 billion parameters, 0.05 for 33 to 65 billion.")
    with result:
        stored = stored_lesson("rank-dropout")
        page.badge("stored run", stored.made)
        frame = _dropout_frame(stored.records)
        highest = 1.05 * frame["loss"].to_numpy().max()
        rates = [rate for rate in data.DROPOUT_RATES if rate in chosen] or list(data.DROPOUT_RATES)
        for column, rate in zip(st.columns(len(rates)), rates, strict=True):
            with column:
                training, held_out = (data.dropout_end(rate, what) for what in ("training", "validation"))
                st.markdown(f"**Dropout {rate:g}**: training {training:.2f}, held out {held_out:.2f}")
                show.chart(
                    plots.dropout_chart(frame.query("dropout == @rate"), highest),
                    f"Dropout {rate:g}: training loss ends at {training:.2f}, held-out loss at {held_out:.2f}.",
                )
        seeds = len({record["seed"] for record in stored.records})
        start = next(record["validation"] for record in stored.records if record["step"] == 0)
        worse = sum(data.dropout_end(rate, "validation") > start for rate in data.DROPOUT_RATES)
        st.caption(
            f"LoRA of rank 16 on 82 Finnish city names, {data.DROPOUT_STEPS} steps, mean of {seeds} seeds; training "
            "loss with dropout on, mean of ten batches, so it is also higher by the noise. The base starts at "
            f"{start:.2f}: {worse} of {len(data.DROPOUT_RATES)} rates end worse on new "
            "names, dropout or not. All panels share their axes."
        )
        show.download_csv(frame, "dropout")
    with st.expander("The formula, with these numbers, and as code"):
        rate = rates[-1]
        st.latex(r"W x + s \cdot B A\, \frac{x \odot z}{1 - p}, \qquad z_i \sim \text{Bernoulli}(1 - p)")
        st.latex(rf"p = {rate:g}: \quad \tfrac{{1}}{{1 - p}} = {1 / (1 - rate):.4g}")
        show.code(
            f"import peftcalc as pc\n\nfor rate in {rates}:\n"
            "    method = pc.LoRA(rank=16, alpha=32, dropout=rate)\n"
            f'    run = pc.finetune("names:Finland", method, steps={data.DROPOUT_STEPS}, evaluations=6)\n'
            "    for record in run:\n        print(rate, record.step, record.loss, record.validation)",
            "dropout.py",
        )
    lessons.show_try_this(DROPOUT, "dropout")
    state.link_notes()


def _dropout_frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Means over seeds, one row a rate, curve and step."""
    means = {"training": "mean", "validation": "mean"}
    frame = pd.DataFrame(records).groupby(["dropout", "step"], as_index=False).agg(means)
    frame = frame.rename(columns={"validation": "held out"})
    return frame.melt(["dropout", "step"], ["training", "held out"], "curve", "loss")

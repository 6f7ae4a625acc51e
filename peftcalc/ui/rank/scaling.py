"""Alpha: the scaling of the update by rank and rule."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from peftcalc.methods import LoRA
from peftcalc.plots import rank as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.rank import SCALING

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ALPHAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@st.fragment
def scaling() -> None:
    st.header("Alpha: how loud the adapter speaks", anchor="scaling")
    lessons.show_presets(SCALING, "scaling")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        alpha = state.slider("Alpha", ALPHAS, "alpha", 16)
        rank = state.slider("Rank", RANKS, "r", 64)
        rslora = state.switch("rsLoRA: α / √r", "rslora")
    method = LoRA(rank=rank, alpha=alpha, rslora=rslora)
    with result:
        page.badge("exact")
        st.metric("Scaling s in W + s · B A", f"{method.scaling:.6g}")
        rows: list[tuple[str, int, float]] = []
        for r in RANKS:
            rows.append(("α / r", r, LoRA(rank=r, alpha=alpha).scaling))
            rows.append(("α / √r", r, LoRA(rank=r, alpha=alpha, rslora=True).scaling))
            rows.append(("α = 2r", r, LoRA(rank=r, alpha=2 * r).scaling))
        frame = pd.DataFrame(rows, columns=["rule", "rank", "scaling"])
        show.chart(
            plots.scaling_chart(frame, rank),
            f"Scaling by rank at alpha {alpha}: α / r falls with the rank, α / √r more slowly, α = 2r stays at 2; "
            f"at rank {rank} it is {method.scaling:.4g}.",
        )
        show.download_csv(frame, "scaling")
    with st.expander("The formula, with these numbers, and as code"):
        st.latex(r"s = \alpha / r \qquad \text{rsLoRA: } s = \alpha / \sqrt{r}")
        root = rf"\sqrt{{{rank}}}" if rslora else str(rank)
        st.latex(rf"s = {alpha} / {root} = {method.scaling:.6g}")
        show.code(f"import peftcalc as pc\n\nmethod = pc.{method!r}\nprint(method.scaling)", "scaling.py")
        st.caption("LoRA arXiv:2106.09685, 4.1; QLoRA arXiv:2305.14314 (α = 16, r = 64); rsLoRA arXiv:2312.03732.")
    lessons.show_try_this(SCALING, "scaling")
    state.link_notes()

"""Alpha: the scaling of the update, as a volume by hand, and by rank and rule."""

from __future__ import annotations

import functools

import pandas as pd
import streamlit as st

from peftcalc.counting.worked_example import worked_example
from peftcalc.methods import LoRA
from peftcalc.plots import rank as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.components.product import product
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.rank import ALPHAS, SCALING, SCALING_RANKS


def alpha() -> None:
    words, picture = page.controls_and_result("volume", 0.25)
    with words:
        st.markdown("Alpha is a volume: **s = α / r** multiplies all of B A. Move Alpha, and ΔW fades or glows.")
    with picture:
        example = worked_example(rank=2, seed=1)
        product(example.W, example.B, example.A, rank=2, alpha=2, key="volume")
    st.markdown("##### At the ranks of large models")
    lessons.show_presets(SCALING, "scaling")
    the_scaling()
    lessons.show_try_this(SCALING, "scaling")


@st.fragment
def the_scaling() -> None:
    """The controls and what follows from them: a move runs this alone."""
    controls, result = page.controls_and_result("scaling")
    with controls:
        value = state.slider("Alpha", ALPHAS, "alpha", 16)
        rank = state.slider("Rank", SCALING_RANKS, "r", 64)
        rslora = state.switch("rsLoRA: α / √r", "rslora", help="Rank-stabilised LoRA divides by the root of the rank.")
        method = LoRA(rank=rank, alpha=value, rslora=rslora)
        st.metric("Scaling s in W + s · B A", f"{method.scaling:.6g}")
        page.badge("exact")
    with result:
        if lessons.show_prediction(SCALING, "scaling"):
            frame = _rules(value)
            show.chart(
                plots.scaling_chart(frame, rank),
                f"Scaling by rank at alpha {value}: α / r falls with the rank, α / √r more slowly, α = 2r stays at 2; "
                f"at rank {rank} it is {method.scaling:.4g}.",
            )
            show.download_csv(frame, "scaling")
    show.folded("The formula, with these numbers, and as code", "scaling", functools.partial(_formula, method))


@functools.lru_cache(maxsize=16)
def _rules(value: int) -> pd.DataFrame:
    """A row a rule and rank."""
    rows: list[tuple[str, int, float]] = []
    for rank in SCALING_RANKS:
        rows.append(("α / r", rank, LoRA(rank=rank, alpha=value).scaling))
        rows.append(("α / √r", rank, LoRA(rank=rank, alpha=value, rslora=True).scaling))
        rows.append(("α = 2r", rank, LoRA(rank=rank, alpha=2 * rank).scaling))
    return pd.DataFrame(rows, columns=["rule", "rank", "scaling"])


def _formula(method: LoRA) -> None:
    st.latex(r"s = \alpha / r \qquad \text{rsLoRA: } s = \alpha / \sqrt{r}")
    root = rf"\sqrt{{{method.rank}}}" if method.rslora else str(method.rank)
    st.latex(rf"s = {method.alpha} / {root} = {method.scaling:.6g}")
    show.code(f"import peftcalc as pc\n\nmethod = pc.{method!r}\nprint(method.scaling)", "scaling.py")
    st.caption("LoRA arXiv:2106.09685, 4.1; QLoRA arXiv:2305.14314 (α = 16, r = 64); rsLoRA arXiv:2312.03732.")

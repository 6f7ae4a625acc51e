"""By hand: W, and the trained B and A beside it, small enough to check every number."""

from __future__ import annotations

import streamlit as st

from peftcalc.counting.worked_example import WorkedExample, worked_example
from peftcalc.ui import page, sections, show, state
from peftcalc.ui.components.parts import State
from peftcalc.ui.components.product import product
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.parameters import HAND

SIDES = (3, 5, 8, 10, 16, 32, 64)
HIGHEST = 16
"""Rank, of the larger matrices."""


def by_hand() -> None:
    controls, result = page.controls_and_result("hand", 0.25)
    with controls:
        side = state.slider("Side of the matrix", SIDES, "side", 5)
        seed = state.slider("Other numbers, drawn by chance", range(10), "numbers", 0)
        if lessons.show_prediction(HAND, "hand"):
            sections.door("On to matrices of billions", "one matrix")
    example = worked_example(min(side, HIGHEST), side, seed)
    with result:
        moved = product(example.W, example.B, example.A, key="hand")
        _formula(example, seed, moved)


@st.fragment
def _formula(example: WorkedExample, seed: int, moved: State) -> None:
    """Computed when it is opened."""
    opened = st.expander("The formula, with these numbers, and as code", key="hand-more", on_change="rerun")
    if opened.open:
        with opened:
            _opened(example, seed, moved)


def _opened(example: WorkedExample, seed: int, moved: State) -> None:
    side, rank = example.W.shape[0], moved.get("rank", 1)
    alpha = moved.get("alpha", 1)
    st.latex(
        r"W' = W + \frac{\alpha}{r} B A, \quad B \in \mathbb{R}^{D \times r}, A \in \mathbb{R}^{r \times D}, "
        r"\quad 2 \cdot D \cdot r \text{ of } D^2"
    )
    st.latex(rf"2 \cdot {side} \cdot {rank} = {2 * side * rank:,} \text{{ of }} {side}^2 = {side * side:,}")
    show.code(hand_code(side, seed, rank, alpha, moved.get("cells", [])), "update_by_hand.py")
    st.caption("LoRA, arXiv:2106.09685, section 4.1, equation 3; s = α / r is its scaling.")


def hand_code(side: int, seed: int, rank: int, alpha: float, cells: list[float]) -> str:
    """What prints W′ as the picture shows it; `cells` as `product` returns them."""
    lines = [
        "from peftcalc.counting.worked_example import worked_example",
        "",
        f"example = worked_example(rank={rank}, size={side}, seed={seed})",
    ]
    factors = ["example.B", "example.A"]
    changed = []
    for at in range(0, len(cells), 4):
        which, row, column = (int(place) for place in cells[at : at + 3])
        if (column if which == 0 else row) < rank:
            changed.append((which, f"{'BA'[which]}[{row}, {column}] = {cells[at + 3]:g}"))
    for which in sorted({which for which, _ in changed}):
        lines.append(f"{'BA'[which]} = {factors[which]}.copy()")
        factors[which] = "BA"[which]
    lines += [line for _, line in changed]
    scale = "" if alpha == rank else f"{alpha:g} / {rank} * "
    return "\n".join([*lines, f"print(example.W + {scale}{factors[0]} @ {factors[1]})"])

"""One matrix of any size: the share that LoRA trains falls with the root of the model's size."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.counting.one_matrix import Square, square
from peftcalc.plots import parameters as plots
from peftcalc.plots.parameters import RANKS
from peftcalc.ui import page, sections, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.parameters import CURVES
from peftcalc.ui.parameters import article

SIZES = (25, 100, 10**6, 124_000_000, 10**9, 4 * 10**9, 7 * 10**9, 13 * 10**9, 70 * 10**9, 80 * 10**9, 200 * 10**9)


def one_matrix() -> None:
    lessons.show_presets(CURVES, "curves")
    the_curves()
    _tables()
    if lessons.show_prediction(CURVES, "curves"):
        sections.door("See a real model", "a real model")
    lessons.show_try_this(CURVES, "curves")


@st.fragment
def the_curves() -> None:
    """The controls and what follows from them: a move runs this alone."""
    controls, result = page.controls_and_result("curves", 0.25)
    with controls:
        total = state.slider("Parameters of the model", SIZES, "size", 4_000_000_000, units.short_count)
        rank = state.slider("Rank", RANKS, "r", 8)
    with result:
        rank = _rank_that_fits(total, rank)
        answer = square(total, rank)
        _answer(answer)
        share = units.percent(answer.percent)
        said = f"{units.short_count(total)}, rank {rank}: {share}"
        here = _row(answer) | {"text": said}
        show.chart(
            plots.curve_chart(_curves(), here, _of_the_article()),
            f"Share of parameters that LoRA trains against model size, one falling line for each rank from 1 to 256; "
            f"at {units.short_count(total)} parameters and rank {rank}, the bold line, it is "
            f"{share}. Diamonds are the rows of the article's tables.",
        )
        st.caption("Diamonds: the rows of the article's tables, which stand below.")
        _as_table_and_code(answer)
    state.link_notes()


def _answer(answer: Square) -> None:
    with st.container(horizontal=True, gap="large", key="answer-curves", vertical_alignment="bottom"):
        st.metric("Side of the matrix", f"{answer.dimension:,}", width="content")
        trained = f"{answer.trainable:,} parameters"
        st.metric("Trained by LoRA", units.short_count(answer.trainable), width="content", help=trained)
        st.metric("Share of the model", units.percent(answer.percent), width="content")
        even = "At this rank LoRA trains as much as full fine-tuning."
        st.metric("Break-even rank", f"{answer.break_even:,.6g}", width="content", help=even)
    if answer.trainable > answer.total_parameters:
        st.warning(
            f"At rank {answer.rank} the factors hold more numbers than the matrix. "
            f"Ranks below {answer.break_even:g} save."
        )


def _tables() -> None:
    """The article's; the first is open."""
    by_size = [(size, 1, printed) for size, printed in article.BY_SIZE.items()]
    by_rank = [(article.OF_RANKS, rank, printed) for rank, printed in article.BY_RANK.items()]
    tables = {
        "the article: by size, rank 1": partial(_table, by_size, "article-by-size", "The article's first table"),
        "the article: by rank, 4 billion": partial(_table, by_rank, "article-by-rank", "The article's second table"),
    }
    sections.show(tables, "table")


def _table(rows: list[tuple[Any, ...]], name: str, alt: str) -> None:
    answers = [(square(total, rank), *printed) for total, rank, *printed in rows if rank <= square(total, 1).dimension]
    columns = ["Parameters", "Rank", "Side", "Trained by LoRA", "Share", "As the article prints it"]
    cells = [
        (a.total_parameters, a.rank, a.dimension, a.trainable, f"{a.percent:.4g} %", *printed)
        for a, *printed in answers
    ]
    frame = pd.DataFrame(cells, columns=columns[: len(cells[0])])
    grouped = dict.fromkeys(("Parameters", "Side", "Trained by LoRA"), "localized")
    show.table(frame, name, f"{alt}: parameters, rank, side of the matrix, trained, share", **grouped)


@st.fragment
def _as_table_and_code(answer: Square) -> None:
    """Computed when it is opened."""
    total, rank, size = answer.total_parameters, answer.rank, units.short_count(answer.total_parameters)
    opened = st.expander("The formula, with these numbers, as tables and as code", key="one-more", on_change="rerun")
    if not opened.open:
        return
    with opened:
        st.latex(r"D = \lceil \sqrt{N}\, \rceil, \qquad 2 \cdot D \cdot r, \qquad 100 \cdot 2 D r / N")
        st.latex(rf"2 \cdot {answer.dimension} \cdot {rank} = {answer.trainable}, \qquad {answer.percent:.6g}\,\%")
        show.code(
            f"import peftcalc as pc\n\nanswer = pc.square(total_parameters={total:_}, rank={rank})\n"
            "print(answer.dimension, answer.trainable, answer.percent, answer.break_even)",
            "one_matrix.py",
        )
        by_size, by_rank = st.columns(2)
        with by_size:
            _table([(each, rank) for each in SIZES], f"one-matrix-by-size-rank-{rank}", f"At rank {rank}")
        with by_rank:
            _table([(total, each) for each in RANKS], f"one-matrix-by-rank-{total}", f"Of {size}")


def _rank_that_fits(total: int, rank: int) -> int:
    """The rank, or the largest one of the slider that a matrix of this size has."""
    side = square(total, 1).dimension
    if rank <= side:
        return rank
    largest = max(option for option in RANKS if option <= side)
    st.info(f"A {side:,} × {side:,} matrix has no rank above {side:,}; showing rank {largest}.", icon=":material/info:")
    return largest


@cache
def _curves() -> tuple[dict[str, float], ...]:
    sizes = [25, 100, *(10**power for power in range(3, 13))]
    return tuple(_rows((total, rank) for rank in RANKS for total in sizes if 2 * rank <= total**0.5))


@cache
def _of_the_article() -> tuple[dict[str, float], ...]:
    return tuple(_rows((total, rank) for total, rank, _ in article.ROWS))


def _rows(pairs: Iterable[tuple[int, int]]) -> list[dict[str, float]]:
    return [_row(square(total, rank)) for total, rank in pairs]


def _row(answer: Square) -> dict[str, Any]:
    return {
        "total": answer.total_parameters,
        "rank": answer.rank,
        "dimension": answer.dimension,
        "trainable": answer.trainable,
        "percent": answer.percent,
    }

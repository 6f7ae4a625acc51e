"""How many parameters does each method train? By hand, on one matrix of any size, and on a real model."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.counting.count import count, task_heads
from peftcalc.counting.counts import Count
from peftcalc.counting.one_matrix import square
from peftcalc.counting.one_matrix_gap import one_matrix_gap
from peftcalc.counting.worked_example import worked_example
from peftcalc.methods import METHODS, LoRA, make_method
from peftcalc.models.shapes import ModelShapes
from peftcalc.plots import parameters as plots
from peftcalc.plots.style import METHOD_STYLES, THEMES
from peftcalc.recipes.model_class import AS_THE_MODEL
from peftcalc.recipes.training_script import TrainingSettings
from peftcalc.ui import model_choice, page, show, state, take_away
from peftcalc.ui.doctor.adapter_section import an_existing_adapter
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.parameters import CURVES, MODEL

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SIZES = (25, 100, 10**6, 124_000_000, 10**9, 4 * 10**9, 7 * 10**9, 13 * 10**9, 70 * 10**9, 80 * 10**9, 200 * 10**9)
ALPHAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
DROPOUTS = (0.0, 0.05, 0.1, 0.2, 0.3)


def main() -> None:
    page.open_page(
        "How many parameters does each method train?",
        "A low-rank adapter replaces a large update by two thin matrices. First by hand, then for one matrix of any "
        "size, then for a real model, [to the parameter](#a-real-model).",
    )
    the_idea()
    the_curves()
    a_real_model()
    an_existing_adapter()


@st.fragment
def the_idea() -> None:
    st.header("The idea, by hand", anchor="by-hand")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        rank = state.slider("Rank of the update", range(1, 6), "hand", 1)
        seed = state.slider("Other numbers", range(10), "numbers", 0)
    example = worked_example(rank, seed=seed)
    with result:
        st.markdown(
            f"The frozen weight has **{example.frozen_parameters}** numbers. At rank {rank} the adapter trains "
            f"2 · 5 · {rank} = **{example.trained_parameters}**: every cell of ΔW is a row of B times a column of A."
        )
        show.figure(
            _update_figure(rank, seed, page.theme_name()),
            f"A 5 by 5 frozen weight, a 5 by {rank} factor B, a {rank} by 5 factor A, their product, and the sum.",
            f"update-rank-{rank}",
            lambda: {"figure": "update", "rank": rank, "seed": seed},
        )
        first = example.B[0] @ example.A[:, 0]
        terms = " + ".join(f"({b}) · ({a})" for b, a in zip(example.B[0], example.A[:, 0], strict=True))
        st.caption(
            f"Check the first cell: {terms} = {first}; with W: {example.W[0, 0]} + ({first}) = {example.adapted[0, 0]}."
        )
    with st.expander("The formula, with these numbers, and as code"):
        st.latex(
            r"W' = W + B A, \quad B \in \mathbb{R}^{D \times r}, A \in \mathbb{R}^{r \times D}, \quad 2 \cdot D \cdot r"
        )
        st.latex(rf"2 \cdot 5 \cdot {rank} = {example.trained_parameters}")
        show.code(
            "from peftcalc.counting.worked_example import worked_example\n\n"
            f"example = worked_example(rank={rank}, seed={seed})\nprint(example.W + example.B @ example.A)",
            "update_by_hand.py",
        )
        st.caption("LoRA, arXiv:2106.09685, section 4.1, equation 3, with the scaling left out.")
    state.link_notes()


@st.fragment
def the_curves() -> None:
    st.header("One matrix of any size", anchor="one-matrix")
    lessons.show_presets(CURVES, "curves")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        total = state.slider("Parameters of the model", SIZES, "size", 4_000_000_000, units.short_count)
        rank = state.slider("Rank", RANKS, "r", 8)
    with result, page.errors_as_sentences():
        rank = _rank_that_fits(total, rank)
        answer = square(total, rank)
        page.badge("exact", "for one square matrix that holds the whole model")
        first, second, third, fourth = st.columns(4, gap="small")
        first.metric("Side of the matrix", f"{answer.dimension:,}")
        second.metric("Trained by LoRA", units.short_count(answer.trainable), help=f"{answer.trainable:,} parameters")
        third.metric("Share of the model", units.percent(answer.percent))
        fourth.metric(
            "Break-even rank", f"{answer.break_even:,.6g}", help="At this rank LoRA trains as much as full fine-tuning."
        )
        if answer.trainable > total:
            st.warning(
                f"At rank {rank} the factors hold more numbers than the matrix. Ranks below {answer.break_even:g} save."
            )
        show.chart(
            plots.curve_chart(_curves(), total),
            f"Share of parameters that LoRA trains against model size, one falling line for each rank from 1 to 256; "
            f"at {units.short_count(total)} parameters and rank {rank} it is {units.percent(answer.percent)}.",
        )
    with st.expander("The tables: by model size, and by rank"):
        by_size, by_rank = st.columns(2)
        with by_size:
            show.table(_rows([(size, rank) for size in SIZES]), f"one-matrix-by-size-rank-{rank}")
        with by_rank:
            show.table(_rows([(total, r) for r in RANKS]), f"one-matrix-by-rank-{total}")
    with st.expander("The formula, with these numbers, and as code"):
        st.latex(r"D = \lceil \sqrt{N}\, \rceil, \qquad 2 \cdot D \cdot r, \qquad 100 \cdot 2 D r / N")
        st.latex(rf"2 \cdot {answer.dimension} \cdot {rank} = {answer.trainable}, \qquad {answer.percent:.6g}\,\%")
        show.code(
            f"import peftcalc as pc\n\nanswer = pc.square(total_parameters={total:_}, rank={rank})\n"
            "print(answer.dimension, answer.trainable, answer.percent, answer.break_even)",
            "one_matrix.py",
        )
    lessons.show_prediction(CURVES, "curves")
    lessons.show_try_this(CURVES, "curves")
    state.link_notes()


@st.fragment
def a_real_model() -> None:
    st.header("A real model", anchor="a-real-model")
    lessons.show_presets(MODEL, "model")
    controls, result = st.columns([1, 2], gap="large")
    with page.errors_as_sentences():
        with controls:
            shapes, task = model_choice.choose_task(model_choice.choose_model())
            method = _method_controls(model_choice.target_names(shapes), task_heads(shapes, task))
        counted = count(shapes, method, task)
        with result:
            _answer(counted)
            _comparison(shapes, method, task)
            _block(shapes, counted)
        _gap(shapes, method)
        _take_away(shapes, counted, method, task)
    lessons.show_try_this(MODEL, "model")
    state.link_notes()


def _block(shapes: ModelShapes, counted: Count) -> None:
    st.subheader("One of its blocks: what gets an adapter", anchor=False)
    lit = {part.module for part in counted.parts if part.how == "adapter"}
    names = ", ".join(sorted({name.rpartition(".")[2] for name in lit})) or "none"
    show.figure(
        _block_figure(shapes, frozenset(lit), counted.method.name, page.theme_name()),
        f"The weights of one block of {counted.model}, each as wide as its inputs and as tall as its outputs; those "
        f"that get an adapter are coloured: {names}.",
        "block",
        lambda: {"figure": "block", "shapes": shapes.to_dict(), "lit": sorted(lit), "method": counted.method.name},
    )


def _rank_that_fits(total: int, rank: int) -> int:
    """The rank, or the largest one of the slider that a matrix of this size has."""
    side = square(total, 1).dimension
    if rank <= side:
        return rank
    largest = max(option for option in RANKS if option <= side)
    st.info(f"A {side:,} × {side:,} matrix has no rank above {side:,}; showing rank {largest}.", icon=":material/info:")
    return largest


def _method_controls(names: list[str], heads: tuple[str, ...]) -> LoRA:
    """The method; every linear layer leaves out a task's head, which is trained in full and may not be adapted too."""
    kinds = [name for name, kind in METHODS.items() if kind.has_adapter]
    name = state.choice("Method", kinds, "method", "lora", lambda key: METHODS[key].label)
    rank = state.slider("Rank", RANKS, "rank", 16)
    state.keep_known("targets", names)
    chosen = state.several("Targets (none chosen: every linear layer)", names, "targets", [])
    with st.expander("Scaling, dropout, a pattern for the targets"):
        alpha = state.slider("Alpha", ALPHAS, "alpha", 32)
        dropout = state.slider("Dropout", DROPOUTS, "dropout", 0.0)
        rslora = state.switch("Rank-stabilised scaling", "rslora", help="s = α / √r in place of α / r")
        pattern = state.text("Regular expression for the module names", "pattern")
    targets = pattern or chosen or "all-linear"
    options = {"exclude": heads} if heads and targets == "all-linear" else {}
    method = make_method(name, rank=rank, alpha=alpha, dropout=dropout, rslora=rslora, targets=targets, **options)
    assert isinstance(method, LoRA)
    return method


def _answer(counted: Count) -> None:
    page.badge("exact", "what peft itself would train")
    first, second, third = st.columns(3)
    first.metric("Trained", units.short_count(counted.trainable), help=f"{counted.trainable:,} parameters")
    second.metric("Of the model", units.percent(counted.percent))
    third.metric("Adapter on disk, 16 bit", units.gb(counted.adapter_bytes_fp16))
    st.markdown(
        f"{units.count(counted.trainable)} of {units.count(counted.total)} parameters, base and adapter together; "
        f"the adapter's file holds {units.gb(counted.adapter_bytes_fp32)} at 32 bits."
    )
    for note in counted.notes:
        st.info(page.escape(note), icon=":material/info:")


def _comparison(shapes: ModelShapes, method: LoRA, task: str | None) -> None:
    st.subheader("The five methods on this model", anchor=False)
    options = method.as_dict()
    rows = []
    for name, kind in METHODS.items():
        counted = count(shapes, make_method(name, **options), task)
        text = f"{units.short_count(counted.trainable)} · {units.percent(counted.percent)}"
        rows.append((kind.label, counted.trainable, counted.percent, text))
    frame = pd.DataFrame(rows, columns=["method", "trainable", "percent", "text"])
    spoken = ", ".join(f"{row[0]} {row[3]}" for row in rows)
    show.chart(plots.methods_chart(frame), f"Trained parameters on a logarithmic scale: {spoken}.")


def _gap(shapes: ModelShapes, method: LoRA) -> None:
    with st.expander("Why the one-matrix percentage differs from this model's real one"):
        steps = one_matrix_gap(shapes, method)
        frame = pd.DataFrame(
            [(s.name, s.percent, units.percent(s.percent)) for s in steps], columns=["step", "percent", "text"]
        )
        show.chart(
            plots.gap_chart(frame),
            "; ".join(f"{s.name}: {units.percent(s.percent)}" for s in steps),
        )
        for number, step in enumerate(steps, 1):
            st.markdown(f"{number}. **{step.name}**, {units.percent(step.percent)}. {step.sentence}")


def _take_away(shapes: ModelShapes, counted: Count, method: LoRA, task: str | None) -> None:
    with st.expander("Take it away: code, table, link"):
        take_away.scripts(shapes, method, TrainingSettings(task_type=task or AS_THE_MODEL))
        show.table(counted.by_kind.reset_index(), "by-kind", "Trained parameters by module name")
        show.download_csv(counted.by_module.reset_index(), "every-module", "CSV of every module")
        st.caption("This address restores everything above:")
        st.code(state.link(), language=None, wrap_lines=True)


@st.cache_resource(max_entries=100)
def _update_figure(rank: int, seed: int, theme: str):
    return plots.update_figure(worked_example(rank, seed=seed), THEMES[theme])


@st.cache_resource(max_entries=100, hash_funcs={ModelShapes: lambda shapes: shapes.fingerprint})
def _block_figure(shapes: ModelShapes, lit: frozenset[str], method: str, theme: str):
    return plots.block_figure(shapes, set(lit), METHOD_STYLES[method].color, THEMES[theme])


@st.cache_data
def _curves() -> pd.DataFrame:
    sizes = [25, 100, *(10**power for power in range(3, 13))]
    return pd.DataFrame([vars_of(total, rank) for rank in RANKS for total in sizes if 2 * rank <= total**0.5])


def _rows(pairs: list[tuple[int, int]]) -> pd.DataFrame:
    return pd.DataFrame([vars_of(total, rank) for total, rank in pairs if rank <= square(total, 1).dimension])


def vars_of(total: int, rank: int) -> dict[str, float]:
    answer = square(total, rank)
    return {
        "total": total,
        "rank": rank,
        "dimension": answer.dimension,
        "trainable": answer.trainable,
        "percent": answer.percent,
    }


main()

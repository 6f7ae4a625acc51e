"""A real model, to the parameter: one of its blocks, on which targets are chosen, and the five methods beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.counting.count import count, task_heads
from peftcalc.counting.counts import Count
from peftcalc.counting.one_matrix_gap import one_matrix_gap
from peftcalc.methods import METHODS, LoRA, make_method
from peftcalc.models.shapes import ModelShapes
from peftcalc.plots import parameters as plots
from peftcalc.plots.parameters import RANKS
from peftcalc.recipes.model_class import AS_THE_MODEL
from peftcalc.recipes.training_script import TrainingSettings
from peftcalc.ui import model_choice, page, show, state, take_away
from peftcalc.ui.components.block import block
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.parameters import MODEL

ALPHAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
DROPOUTS = (0.0, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Chosen:
    """What the controls say.

    Args:
        method: with its targets.
        every: the same on every linear layer, for as long as nothing is chosen.
        names: by which targets can be chosen.
        picked: those that are.
    """

    method: LoRA
    every: LoRA
    names: list[str]
    picked: list[str]

    @property
    def locked(self) -> bool:
        """Whether a pattern chooses the targets."""
        return isinstance(self.method.targets, str) and self.method.targets != "all-linear"


def real_model() -> None:
    lessons.show_presets(MODEL, "model")
    the_count()
    lessons.show_try_this(MODEL, "model")


@st.fragment
def the_count() -> None:
    """The controls and what follows from them: a move runs this alone."""
    controls, result = page.controls_and_result("model", 0.25)
    with page.errors_as_sentences():
        with controls:
            shapes, task = model_choice.choose_task(model_choice.choose_model())
            chosen = _method_controls(model_choice.target_names(shapes), task_heads(shapes, task))
        counted = count(shapes, chosen.method, task)
        with result:
            _answer(counted)
            _block(shapes, counted, chosen, task)
            for note in counted.notes:
                st.info(page.escape(note), icon=":material/info:")
            _comparison(shapes, chosen.method, task)
            settings = TrainingSettings(task_type=task or AS_THE_MODEL)
            take_away.scripts(shapes, chosen.method, settings, 190, count_first=True)
            _gap(shapes, chosen.method)
            _table_and_link(counted)
    state.link_notes()


def _method_controls(names: list[str], heads: tuple[str, ...]) -> Chosen:
    """The method; every linear layer leaves out a task's head, which is trained in full and may not be adapted too."""
    kinds = [name for name, kind in METHODS.items() if kind.has_adapter]
    name = state.choice("Method", kinds, "method", "lora", lambda key: METHODS[key].label)
    rank = state.slider("Rank", RANKS, "rank", 16)
    state.keep_known("targets", names)
    with st.popover("Targets, scaling, dropout", width="stretch"):
        picked = state.several("Targets (none chosen: every linear layer)", names, "targets", [], many=True)
        alpha = state.slider("Alpha", ALPHAS, "alpha", 32)
        dropout = state.slider("Dropout", DROPOUTS, "dropout", 0.0)
        rslora = state.switch("Rank-stabilised scaling", "rslora", help="s = α / √r in place of α / r")
        pattern = state.text("Regular expression for the module names", "pattern")
    options = {"exclude": heads} if heads else {}
    shared = {"rank": rank, "alpha": alpha, "dropout": dropout, "rslora": rslora}
    every = make_method(name, **shared, targets="all-linear", **options)
    method = make_method(name, **shared, targets=pattern or picked) if pattern or picked else every
    assert isinstance(method, LoRA)
    assert isinstance(every, LoRA)
    return Chosen(method, every, [one for one in names if one not in heads], picked)


def _answer(counted: Count) -> None:
    with st.container(horizontal=True, gap="large", key="answer-model", vertical_alignment="bottom"):
        trained = f"{counted.trainable:,} parameters"
        st.metric("Trained", units.short_count(counted.trainable), width="content", help=trained)
        st.metric("Of the model", units.percent(counted.percent), width="content")
        both = f"{units.gb(counted.adapter_bytes_fp32)} at 32 bits"
        st.metric("File, 16 bit", units.gb(counted.adapter_bytes_fp16), width="content", help=both)
        page.badge("exact", f"{counted.trainable:,} of {counted.total:,}, as peft prints")


def _block(shapes: ModelShapes, counted: Count, chosen: Chosen, task: str | None) -> None:
    if chosen.method is chosen.every or chosen.locked:
        every = counted
    else:
        try:
            every = count(shapes, chosen.every, task)
        except ValueError:  # what peft refuses on every linear layer may still be done on some
            every = replace(counted, parts=())
    block(shapes, every, chosen.names, chosen.picked, locked=chosen.locked, moved=_choose_targets)


def _choose_targets(names: list[str]) -> None:
    state.set_controls({"targets": names})


def _comparison(shapes: ModelShapes, method: LoRA, task: str | None) -> None:
    st.markdown("##### The five methods on this model")
    options = method.as_dict()
    rows, refused = [], []
    for name, kind in METHODS.items():
        try:
            counted = count(shapes, make_method(name, **options), task)
        except ValueError as error:
            refused.append(f"{kind.label}: {error}")
            continue
        text = f"{units.short_count(counted.trainable)} · {units.percent(counted.percent)}"
        row = {"method": kind.label, "trainable": counted.trainable, "percent": counted.percent, "text": text}
        rows.append(row)
    spoken = ", ".join(f"{row['method']} {row['text']}" for row in rows)
    show.chart(plots.methods_chart(rows), f"Trained parameters on a logarithmic scale: {spoken}.")
    for sentence in refused:
        st.caption(page.escape(sentence))


@st.fragment
def _gap(shapes: ModelShapes, method: LoRA) -> None:
    """Computed when it is opened."""
    opened = st.expander("Why one matrix says another percentage than this model", key="gap", on_change="rerun")
    if not opened.open:
        return
    with opened, page.errors_as_sentences():
        steps = one_matrix_gap(shapes, method)
        frame = pd.DataFrame(
            [(s.name, s.percent, units.percent(s.percent)) for s in steps], columns=["step", "percent", "text"]
        )
        show.chart(plots.gap_chart(frame), "; ".join(f"{s.name}: {units.percent(s.percent)}" for s in steps))
        for number, step in enumerate(steps, 1):
            st.markdown(f"{number}. **{step.name}**, {units.percent(step.percent)}. {step.sentence}")


@st.fragment
def _table_and_link(counted: Count) -> None:
    """Computed when it is opened."""
    opened = st.expander("The table, every module as CSV, the link", key="take-away", on_change="rerun")
    if not opened.open:
        return
    with opened:
        names = {"module": "module name", "how": "how", "percent": "% of the trained"}
        frame = counted.by_kind.reset_index().rename(columns=names)
        show.table(frame, "by-kind", "Trained parameters by module name")
        show.download_csv(counted.by_module.reset_index(), "every-module", "CSV of every module")
        st.caption("This address restores everything above:")
        st.code(state.link(), language=None, wrap_lines=True)

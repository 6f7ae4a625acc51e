"""Eight weights on their way to few bits and back, one step at a time."""

from __future__ import annotations

import streamlit as st

from peftcalc.plots import quantization_steps as plots
from peftcalc.quant.steps import Steps, steps
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.quantization import STEPS
from peftcalc.ui.quantization.one_number import read_number


@st.fragment
def step_by_step() -> None:
    st.header("Eight weights, step by step", anchor="step-by-step")
    lessons.show_presets(STEPS, "steps")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        text = state.text("Weights (1 to 16)", "weights", STEPS.presets[0].parameters["weights"])
        scheme = state.choice("Format", ("int8", "int4", "nf4"), "scheme", "nf4", str.upper)
        name = state.slider("Step", plots.STAGES, "step", plots.STAGES[0])
        stage = plots.STAGES.index(name)
        with st.container(horizontal=True):
            _step_button("Back", stage - 1, ":material/arrow_back:")
            _step_button("Next", stage + 1, ":material/arrow_forward:")
    with result, page.errors_as_sentences():
        taken = steps([read_number(part) for part in text.split(",") if part.strip()], scheme)
        page.badge("exact", "what quantize() returned")
        st.markdown(_explained(taken, stage))
        points = (
            ", ".join(f"{value:.3g}" for value in taken.grid) if len(taken.grid) < 20 else f"{len(taken.grid)} of them"
        )
        show.chart(plots.code_line_chart(taken, stage), f"The code points of {scheme}: {points}.")
        cells = plots.stage_cells(taken)[stage]
        show.chart(plots.stages_chart(taken, stage), f"{name}: {', '.join(cells)}.")
        with st.expander("As code"):
            show.code(
                f'from peftcalc.quant.steps import steps\n\nprint(steps({list(taken.weights)}, "{scheme}"))', "steps.py"
            )
    lessons.show_try_this(STEPS, "steps")
    state.link_notes()


def _step_button(label: str, stage: int, icon: str) -> None:
    inside = 0 <= stage < len(plots.STAGES)
    target = {"step": plots.STAGES[stage]} if inside else {}
    st.button(label, key=f"step-{label}", on_click=state.set_controls, args=(target,), disabled=not inside, icon=icon)


def _explained(taken: Steps, stage: int) -> str:
    """One sentence for the stage, with its numbers in it."""
    first, code, value = taken.weights[0], taken.codes[0], taken.code_values[0]
    is_table = not taken.format.startswith("int")
    top = 1 if is_table else int(max(taken.grid))
    count = 1 if taken.format == "int8" else 2
    return (
        f"These {len(taken.weights)} numbers form one block, and share one scale.",
        f"The scale is the largest magnitude, **{taken.absmax:g}**. It is stored beside the codes, in 32 bits.",
        f"Every weight is divided by it{'' if is_table else f' and multiplied by {top}'}: "
        f"{first:g} · {top} / {taken.absmax:g} = **{taken.normalised[0]:.4g}**.",
        f"The nearest code point of {taken.normalised[0]:.4g} is **{value:.4g}**, which is code **{code}**"
        f"{' of 16' if is_table else ''}.",
        f"{'One code fills' if count == 1 else 'Two codes share'} a byte"
        f"{'' if count == 1 else ', the first in the high half'}: these bytes and the scale are all that is kept.",
        f"The way back: {value:.4g} · {taken.absmax:g}{'' if is_table else f' / {top}'} = "
        f"**{taken.dequantized[0]:.5g}**.",
        f"What is lost: {taken.dequantized[0]:.5g} − {first:g} = **{taken.errors[0]:+.3g}** for the first weight.",
    )[stage]

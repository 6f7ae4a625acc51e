"""A knock-out: teachers that ask for what only one of LoRA and DoRA can give at rank 1."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from peftcalc.counting.one_matrix import square
from peftcalc.lab.race import WIDE_TABLES
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.methods import METHODS
from peftcalc.plots import direction as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import dora as data
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.dora import KNOCK_OUT

WIDTH = 64  # rows and columns of the knock-out's matrix


@st.fragment
def knock_out() -> None:
    st.header("A knock-out", anchor="knock-out")
    lessons.show_presets(KNOCK_OUT, "knock")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        teacher = state.menu(
            "What the teacher asks for", data.KNOCK_OUT_TEACHERS, "teacher", "magnitude", lambda key: TASKS[key].title
        )
    losses = data.knock_out(teacher)
    with result:
        stored = stored_lesson("dora-knockout")
        page.badge("stored run", stored.made)
        rows = [(METHODS[method].label, rank, loss) for (method, rank), loss in losses.items()]
        frame = pd.DataFrame(rows, columns=["method", "rank", "loss"])
        told = "; ".join(f"{label} rank {rank}: {loss:.3f}" for label, rank, loss in rows)
        show.chart(plots.knock_out_chart(frame), f"Loss left over by rank. {told}.")
        seeds = len({record["seed"] for record in stored.records})
        st.caption(
            f"{TASKS[teacher].data}. 64 × 64, mean of {seeds} seeds. The teacher is made for one method or the other; "
            "on real tasks the gap between LoRA and DoRA is small."
        )
        show.table(frame.pivot(index="rank", columns="method", values="loss").reset_index(), f"knock-out-{teacher}",
                   LoRA="%.4f", DoRA="%.4f")  # fmt: skip
    with st.expander("The formula, with these numbers, and as code"):
        st.latex(r"\text{loss} = \lVert W' - W^* \rVert^2 / \lVert W^* - W \rVert^2")
        lora = square(WIDTH * WIDTH, rank=1).trainable
        st.latex(
            rf"r = 1: \quad \text{{LoRA trains }} 64 + 64 = {lora}, \quad \text{{DoRA }} "
            rf"64 + 64 + 64 = {lora + WIDTH}; \quad {losses['lora', 1]:.3f} \text{{ against }} {losses['dora', 1]:.3f}"
        )
        show.code(
            f"import pandas as pd\nimport peftcalc as pc\n\n{WIDE_TABLES}\n"
            f'result = pc.compare("{teacher}", [pc.LoRA(rank=1, alpha=2), pc.DoRA(rank=1, alpha=2)], seeds={seeds})\n'
            "print(result.summary())",
            "knock_out.py",
        )
    lessons.show_try_this(KNOCK_OUT, "knock")
    state.link_notes()

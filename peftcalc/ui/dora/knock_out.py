"""A knock-out: teachers that ask for what only one of LoRA and DoRA can give at rank 1."""

from __future__ import annotations

import functools

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
from peftcalc.ui.lessons import predict
from peftcalc.ui.lessons.dora import KNOCK_OUT

WIDTH = 64  # rows and columns of the knock-out's matrix


@lessons.taught(KNOCK_OUT, "knock")
def knock_out() -> None:
    controls, result = page.controls_and_result("knock")
    with controls:
        teacher = state.menu(
            "What the teacher asks for", data.KNOCK_OUT_TEACHERS, "teacher", "magnitude", lambda key: TASKS[key].title
        )
        st.markdown(
            f"{TASKS[teacher].data}. A **teacher** is a matrix that was made to be learned: here 64 × 64, so that "
            "what is left over is known exactly."
        )
    stored = stored_lesson("dora-knockout")
    losses = data.knock_out(teacher)
    seeds = len({record["seed"] for record in stored.records})
    with result:
        guessed = lessons.show_prediction(KNOCK_OUT, "knock")
        rows = [
            (METHODS[method].label, rank, loss)
            for (method, rank), loss in losses.items()
            if guessed or method == "dora"
        ]
        frame = pd.DataFrame(rows, columns=["method", "rank", "loss"])
        told = "; ".join(f"{label} rank {rank}: {loss:.3f}" for label, rank, loss in rows)
        show.chart(plots.knock_out_chart(frame), f"Loss left over by rank. {told}.")
        hidden = "" if guessed else " LoRA's curve opens with your guess."
        st.caption(
            f"Mean of {seeds} seeds. The teacher is made for one method or the other; on real tasks the gap between "
            f"LoRA and DoRA is small.{hidden}"
        )
        page.badge("stored run", stored.made)
    show.folded("The same as a table", "knock-table", functools.partial(_table, frame, teacher))
    show.folded(
        "The formula, with these numbers, and as code",
        "knock",
        functools.partial(_formula, teacher, {method: losses[method, 1] for method in ("lora", "dora")}, seeds),
    )


def _table(frame: pd.DataFrame, teacher: str) -> None:
    show.table(frame.pivot(index="rank", columns="method", values="loss").reset_index(), f"knock-out-{teacher}",
               LoRA="%.4f", DoRA="%.4f")  # fmt: skip


def _formula(teacher: str, left: dict[str, float], seeds: int) -> None:
    st.latex(r"\text{loss} = \lVert W' - W^* \rVert^2 / \lVert W^* - W \rVert^2")
    lora = square(WIDTH * WIDTH, rank=1).trainable
    against = rf"; \quad {left['lora']:.3f} \text{{ against }} {left['dora']:.3f}" if predict.guessed("knock") else ""
    st.latex(
        rf"r = 1: \quad \text{{LoRA trains }} 64 + 64 = {lora}, \quad \text{{DoRA }} 64 + 64 + 64 = {lora + WIDTH}"
        + against
    )
    show.code(
        f"import pandas as pd\nimport peftcalc as pc\n\n{WIDE_TABLES}\n"
        f'result = pc.compare("{teacher}", [pc.LoRA(rank=1, alpha=2), pc.DoRA(rank=1, alpha=2)], seeds={seeds})\n'
        "print(result.summary())",
        "knock_out.py",
    )

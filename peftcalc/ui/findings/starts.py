"""Do better starts help? LoRA's relatives beside it, early and at the end, and what LoftQ does to NF4's error."""

from __future__ import annotations

import functools
from typing import Any

import streamlit as st

from peftcalc.lab.findings.numbers import signed
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.plots.findings.intervals import intervals_chart
from peftcalc.ui import page, show
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.points import spread
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.findings.choices import STARTS, against_lora, loftq_at_the_end, plain_name, variants

NAME = "starts"
MOMENTS = {"early": "early, at step 90", "validation": "at the end"}
CODE = """\
import peftcalc as pc

grid = {"methods": [pc.LoRA(rank=4), pc.LoRA(rank=4, init="pissa")], "learning_rate": [1e-3, 3e-3, 1e-2, 3e-2]}
for run in pc.sweep("digits", grid, seeds=3, steps=300):
    print(run.method, run.settings.learning_rate, run.validation)
"""


@lessons.taught(STARTS, "starts")
def starts() -> None:
    controls, result = page.controls_and_result("starts")
    with result:
        guessed = lessons.show_prediction(STARTS, "starts")
    with controls:
        frame.claimed(NAME, guessed)
        st.caption(
            f"{plain_name()} starts with B = 0 and a random A. PiSSA and OLoRA start at directions of the base, LoRA+ "
            "gives B a higher rate than A, LoRA-FA never trains A, rsLoRA divides by √r."
        )
    with result:
        if guessed:
            frame.badge(NAME)
        else:
            frame.until(NAME)
        rows = _rows(guessed)
        told = "; ".join(f"{row['name']} {row['kind']} {row['mean']:+.3f}" for row in rows)
        axis = f"loss minus {plain_name()}'s, each at its best rate"
        show.chart(intervals_chart(rows, axis, f"as {plain_name()}", 30), f"Difference to {plain_name()}: {told}.")
        if guessed:
            st.caption("Left of the line is better. Paired within each seed.")
    if guessed:
        _loftq()
        frame.runs(NAME, CODE, (NAME, "loftq"))


@functools.lru_cache(maxsize=2)
def _rows(guessed: bool) -> tuple[dict[str, Any], ...]:
    """Early and at the end; before the guess of the frozen A alone."""
    shown = [name for name in variants()[1:] if not name.startswith("QLoRA") and (guessed or name.endswith("FA"))]
    found = []
    for name in shown:
        for value, words in MOMENTS.items():
            one = against_lora(name, value)
            ends = {"mean": one.mean, "low": one.mean - one.half_width, "high": one.mean + one.half_width}
            found.append({"name": name, "kind": words, **ends, "seeds": one.count})
    return tuple(found)


def _loftq() -> None:
    """What LoftQ's turns do to the error of rounding."""
    words, picture = st.columns([0.3, 0.7], gap="medium")
    errors: dict[int, list[float]] = {}
    for row in stored_finding("loftq").rows:
        errors.setdefault(int(row["turns"]), []).append(float(row["error"]))
    rows = [{"name": _turns(turns), "kind": "", **spread(values)} for turns, values in sorted(errors.items())]
    with words:
        st.markdown("##### What LoftQ does to NF4")
        st.markdown(
            "LoftQ starts the adapter at what rounding has lost, in turns, and the error of the weights falls. The "
            f"trained loss of QLoRA moves by {signed(loftq_at_the_end())}. Intervals of the picture are over matrices."
        )
    with picture:
        told = "; ".join(f"{row['name']} {row['mean']:.4f}" for row in rows)
        show.chart(intervals_chart(rows, "error, of the weight's size"), f"Error by turns of LoftQ: {told}.")


def _turns(turns: int) -> str:
    return f"{turns} turns of LoftQ" if turns > 1 else "1 turn of LoftQ" if turns else "NF4 alone"

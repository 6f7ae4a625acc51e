"""Does LoRA forget less? The plane of the new task's loss and the old one's, with a curve for each method."""

from __future__ import annotations

import functools
import math
import statistics
from typing import Any

import streamlit as st

from peftcalc.lab.findings.stored import stored_finding
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.methods import METHODS
from peftcalc.plots.findings.curves import FULL
from peftcalc.plots.findings.plane import plane_chart
from peftcalc.ui import page, show
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.points import Row
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.findings.changes import FORGETTING

NAME = "forgetting"
UNIT = "cross-entropy"
CODE = """\
import peftcalc as pc

for method in (pc.Full(), pc.LoRA(rank=8)):
    *_, last = pc.finetune("digits", method, seed=0)  # turned digits; the base knew upright ones
    print(method, last.validation)
"""


@lessons.taught(FORGETTING, "forgetting")
def forgetting() -> None:
    controls, result = page.controls_and_result("forgetting")
    with result:
        guessed = lessons.show_prediction(FORGETTING, "forgetting")
    with controls:
        frame.claimed(NAME, guessed)
        st.caption(
            "A curve goes through a method's learning rates, from the lowest, which changes little, upwards. The ring "
            "is the rate that this task uses for the method. Adapters have rank 8, but for one curve."
        )
    with result:
        if guessed:
            frame.badge(NAME)
        else:
            frame.until(NAME)
        rows = _points(guessed)
        told = "; ".join(
            f"{row['series']} at {row['rate']:g}: new {row['new']:.2g}, old {row['old']:.2g}"
            for row in rows
            if row["usual"]
        )
        show.chart(plane_chart(rows, UNIT), f"Loss on turned digits against loss on upright ones. {told}.")
    if guessed:
        frame.runs(NAME, CODE)


@functools.lru_cache(maxsize=2)
def _points(guessed: bool) -> tuple[dict[str, Any], ...]:
    """Means over the seeds; before the guess those of full fine-tuning alone."""
    found: dict[tuple[str, float], list[Row]] = {}
    for row in stored_finding(NAME).rows:
        if guessed or row["method"] == "full":
            found.setdefault((_series(row), float(row["learning_rate"])), []).append(row)
    drawn = []
    for (series, rate), rows in found.items():
        new, old = (statistics.fmean(float(row[key]) for row in rows) for key in ("validation", "base_loss"))
        if math.isfinite(new + old):
            usual = math.isclose(rate, TASKS["digits"].learning_rates[str(rows[0]["method"])])
            drawn.append({"series": series, "rate": rate, "new": new, "old": old, "usual": usual, "seeds": len(rows)})
    return tuple(drawn)


def _series(row: Row) -> str:
    """A method by its name; LoRA of another rank than the others' says its rank."""
    if row["method"] == "full":
        return FULL
    label = METHODS[str(row["method"])].label
    return f"{label} rank 1" if row["rank"] == 1 else label

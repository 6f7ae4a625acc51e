"""Which layers? As many trained numbers in the attention, in the MLP, and everywhere."""

from __future__ import annotations

import functools
from typing import Any

import streamlit as st

from peftcalc.lab.findings.numbers import chosen, signed
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.plots.findings.intervals import intervals_chart
from peftcalc.ui import page, show
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.points import spread
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.findings.choices import LAYERS, TARGETS, all_against_mlp, parameters_of

NAME = "layers"
CODE = """\
import peftcalc as pc

attention, mlp = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
for rank, targets in ((17, attention), (12, mlp), (7, attention + mlp)):  # about as many trained numbers
    method = pc.LoRA(rank=rank, targets=targets)
    *_, last = pc.finetune("names", method, seed=0, steps=50, learning_rate=1e-2)
    print(rank, targets, last.trainable, last.validation)
"""


@lessons.taught(LAYERS, "layers")
def layers() -> None:
    controls, result = page.controls_and_result("layers")
    with result:
        guessed = lessons.show_prediction(LAYERS, "layers")
    with controls:
        frame.claimed(NAME, guessed)
    with result:
        if guessed:
            frame.badge(NAME)
            rows = _losses()
            told = "; ".join(f"{row['name']} {row['mean']:.4f}" for row in rows)
            show.chart(intervals_chart(rows, "held-out loss (nats)", "", 60), f"Held-out loss by layers: {told}.")
            st.caption(
                "The badge judges the attention against the MLP. What adding the attention to the MLP does: "
                f"{signed(all_against_mlp())}."
            )
        else:
            frame.until(NAME)
            rows = _numbers()
            told = "; ".join(f"{row['name']} {row['mean']:,.0f}" for row in rows)
            show.chart(
                intervals_chart(rows, "trained numbers", "", 60, from_zero=True), f"Trained numbers by layers: {told}."
            )
    if guessed:
        frame.runs(NAME, CODE)


@functools.lru_cache(maxsize=1)
def _losses() -> tuple[dict[str, Any], ...]:
    rows = stored_finding(NAME).rows
    return tuple(
        {
            "name": _name(targets),
            "kind": "",
            **spread([float(row["validation"]) for row in chosen(rows, targets=targets)]),
        }
        for targets in TARGETS
    )


@functools.lru_cache(maxsize=1)
def _numbers() -> tuple[dict[str, Any], ...]:
    found = []
    for targets in TARGETS:
        count = parameters_of(targets)
        found.append({"name": _name(targets), "kind": "", "mean": count, "low": count, "high": count, "seeds": 1})
    return tuple(found)


def _name(targets: str) -> str:
    rank = chosen(stored_finding(NAME).rows, targets=targets)[0]["rank"]
    return f"{TARGETS[targets]}, rank {rank}"

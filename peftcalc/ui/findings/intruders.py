"""Intruder dimensions: a matrix's spectrum before and after, with the directions lit that were not there before."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from peftcalc.geometry.intruders import THRESHOLD, TOP
from peftcalc.jobs.job import Job
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.methods import METHODS
from peftcalc.plots.findings.curves import counts_chart
from peftcalc.plots.findings.spectrum import KNOWN, NEW, spectrum_chart
from peftcalc.ui import live, page, show, state
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.points import by_rank, points
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import predict
from peftcalc.ui.lessons.findings.changes import INTRUDER_RANK, INTRUDERS, spectrum_runs

NAME, ROWS, LARGE, STORED, SLOT = "intruders", "forgetting", "smollm2-intruders", "intruder-spectra", "intruders"
RANKS = (1, 2, 4, 8, 16, 32, 64)
SHOWN = 24
"""Directions that are drawn, of 64."""
MATRICES = tuple(f"{layer}.{place}" for layer in ("first", "second") for place in range(5))
CODE = """\
import peftcalc as pc
from peftcalc.geometry.intruders import intruder_dimensions

*_, last = (run := pc.finetune("digits", pc.LoRA(rank=8, alpha=16), seed=0))
for name, (before, after) in run.student.matrices().items():
    print(name, intruder_dimensions(before, after).count)
"""
Records = Sequence[Mapping[str, Any]]


@lessons.taught(INTRUDERS, "intruders")
def intruders() -> None:
    controls, result = page.controls_and_result("intruders")
    with result:
        guessed = lessons.show_prediction(INTRUDERS, "intruders")
    with controls:
        frame.claimed(NAME, guessed)
        matrix = state.menu("Matrix", MATRICES, "intruder-matrix", MATRICES[0])
        rank = state.slider("Rank of LoRA in your own run", RANKS, "intruder-rank", INTRUDER_RANK)
        seed = state.slider("Base model of your own run", tuple(range(10)), "intruder-seed", 0)
        live.train_button(SLOT, "Train both now", _train, (rank, seed))
        st.caption("About 5 s on two free cores. You can stop it.")
    with result:
        if guessed:
            frame.badge(NAME)
        live.watch(SLOT, functools.partial(_look, matrix))
        if live.current(SLOT) is None:
            _spectra(stored_lesson(STORED).records, matrix, guessed, INTRUDER_RANK)
            page.badge("stored run", f"the spectra: base model 0, {stored_lesson(STORED).made}")
    if guessed:
        _counts()
        if frame.there(LARGE):
            found = points(stored_finding("smollm2-rates").rows, by_rank, "learning_rate", "intruders")
            frame.large(LARGE, counts_chart(found), "Intruders in SmolLM2's matrices over the learning rate.")
        frame.runs(ROWS, CODE, ("smollm2-rates",))


def _train(rank: int, seed: int) -> None:
    """Both methods, side by side where there are workers for it."""
    st.session_state["_spectra"] = (rank, seed)
    live.submit(SLOT, "intruders", [{"runs": [run]} for run in spectrum_runs(rank, seed)])


def _look(matrix: str, job: Job) -> None:
    rank, seed = st.session_state["_spectra"]
    _spectra(job.records, matrix, predict.guessed("intruders") is not None, rank)
    page.badge("measured", f"LoRA of rank {rank}, base model {seed}")


def _spectra(records: Records, matrix: str, guessed: bool, rank: int) -> None:
    """Full fine-tuning beside LoRA, which opens with the guess; both on one scale."""
    latest = {record["run"]: record for record in records if record.get("matrix") == matrix}
    highest = 1.1 * max([*latest.get("full", {}).get("after", []), *latest.get("lora", {}).get("after", []), 1.0])
    for place, name in zip(st.columns(2, gap="medium"), ("full", "lora"), strict=True):
        with place.container(gap="xsmall"):
            label = METHODS[name].label if name == "full" else f"LoRA, rank {rank}"
            if name == "lora" and not guessed:
                st.caption(f"{label}: opens with your guess.")
            elif name not in latest:
                st.caption(f"{label}: it begins.")
            else:
                _one(label, latest[name], highest, name)


def _one(label: str, record: Mapping[str, Any], highest: float, method: str) -> None:
    rows = _directions(record)
    new = [row["place"] for row in rows if row["what"] == NEW]
    st.markdown(f"**{label}**: {len(new)} of the {TOP} strongest are new, at step {record['step']}")
    told = ", ".join(f"number {place}" for place in new) or "none"
    show.chart(
        spectrum_chart(rows, highest, method),
        f"Singular values of {record['matrix']} after {label}; new among the {TOP} strongest: {told}.",
    )


def _directions(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    cosines = record["cosines"]
    return [
        {
            "place": place,
            "before": before,
            "after": after,
            "cosine": cosines[place - 1] if place <= len(cosines) else None,
            "what": NEW if place <= len(cosines) and cosines[place - 1] < THRESHOLD else KNOWN,
        }
        for place, (before, after) in enumerate(zip(record["before"], record["after"], strict=True), 1)
        if place <= SHOWN
    ]


def _two() -> list[Mapping[str, Any]]:
    """The runs of full fine-tuning and of LoRA."""
    return [row for row in stored_finding(ROWS).rows if row["method"] in ("full", "lora")]


def _counts() -> None:
    words, picture = st.columns([0.3, 0.7], gap="medium")
    found = points(_two(), by_rank, "learning_rate", "intruders")
    with words:
        st.markdown("##### Over the learning rate")
        st.markdown(
            f"Intruders among the {TOP} strongest directions, mean over the ten hidden matrices. A higher rate brings "
            "more of them, so methods are compared at the rates that learn best."
        )
    with picture:
        told = "; ".join(f"{one['series']} at {one['x']:g}: {one['mean']:.2g}" for one in found)
        show.chart(counts_chart(found), f"Intruders over the learning rate: {told}.")

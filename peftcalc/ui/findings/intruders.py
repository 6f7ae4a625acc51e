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
from peftcalc.plots.chart import Chart
from peftcalc.plots.findings.curves import counts_chart
from peftcalc.plots.findings.spectrum import KNOWN, NEW, spectrum_chart
from peftcalc.ui import live, page, show, state
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.points import by_rank, points
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import predict
from peftcalc.ui.lessons.findings.changes import INTRUDER_RANK, INTRUDERS, compared_rows, spectrum_runs

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
        else:
            frame.until(NAME)
        live.watch(SLOT, functools.partial(_look, matrix))
        if live.current(SLOT) is None:
            _spectra(stored_lesson(STORED).records, matrix, guessed, INTRUDER_RANK)
            page.badge("stored run", f"the spectra: base model 0, {stored_lesson(STORED).made}")
        if guessed:
            _counts()
    if guessed:
        if frame.there(LARGE):
            chart, told = _counted("smollm2-rates")
            frame.large(LARGE, chart, f"Intruders in SmolLM2's matrices over the learning rate: {told}.")
        frame.runs(NAME, CODE, (ROWS, "smollm2-rates"))


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
    shown = ("full", "lora") if guessed else ("full",)
    for place, name in zip(st.columns(len(shown), gap="medium"), shown, strict=True):
        with place.container(gap="xsmall"):
            label = "Full fine-tuning" if name == "full" else f"LoRA, rank {rank}"
            if name not in latest:
                st.caption(f"{label}: it begins.")
            else:
                _one(label, latest[name], highest)
    st.caption("The tick on a bar: before training.")


def _one(label: str, record: Mapping[str, Any], highest: float) -> None:
    rows = _directions(record)
    new = [row["place"] for row in rows if row["what"] == NEW]
    st.markdown(f"**{label}**: {len(new)} of the {TOP} strongest are new, at step {record['step']}")
    told = ", ".join(f"number {place}" for place in new) or "none"
    show.chart(
        spectrum_chart(rows, highest),
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


@functools.lru_cache(maxsize=2)
def _counted(name: str) -> tuple[Chart, str]:
    """The intruders of full fine-tuning and LoRA over the rate, those ringed that are compared; in words, too."""
    rows = [row for row in stored_finding(name).rows if row["method"] in ("full", "lora")]
    found, compared = (points(some, by_rank, "learning_rate", "intruders") for some in (rows, compared_rows(name)))
    told = "; ".join(f"{one['series']} at {one['x']:g}: {one['mean']:.2g}" for one in found)
    return counts_chart(found, compared), told


def _counts() -> None:
    chart, told = _counted(ROWS)
    st.markdown("##### Over the learning rate")
    show.chart(chart, f"Intruders over the learning rate: {told}.")
    st.caption(
        f"Among the {TOP} strongest directions, mean over the ten hidden matrices. Ringed: the lowest rate that learns "
        "as well as the method's best, where the two are compared."
    )

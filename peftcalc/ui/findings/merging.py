"""Is merging free? What is lost when a QLoRA adapter is merged, three ways, and what to do in practice."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import streamlit as st

from peftcalc.lab.comparison import Interval
from peftcalc.lab.findings.numbers import by_seed, chosen
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.plots.findings.errors import errors_chart
from peftcalc.plots.findings.intervals import intervals_chart
from peftcalc.recipes.merging import merging_code
from peftcalc.ui import page, show
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.points import point, spread
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.findings.changes import MERGING, WAYS, lost_by_rounding, merge_cost

NAME, LARGE, LAYERS = "merging", "smollm2-merging", "merging-layers"
FORMATS = {"nf4": "NF4", "fp4": "FP4", "mxfp4": "MXFP4", "int4": "int4"}
BEFORE = {"floats_before": "base in floats", "before": "base in 4 bits", "trained": "QLoRA, trained beside it"}
AXIS = "change of the loss by merging"
CODE = """\
import peftcalc as pc

*_, last = (run := pc.finetune("digits", pc.QLoRA(rank=8), seed=0))
print("beside the base", last.validation)
pc.merge(run.module)  # into dequantized floats
"""


@lessons.taught(MERGING, "merging")
def merging() -> None:
    controls, result = page.controls_and_result("merging")
    with result:
        guessed = lessons.show_prediction(MERGING, "merging")
    with controls:
        frame.claimed(NAME, guessed)
        st.caption(
            "A **merged** adapter is added into the weights, which are one matrix again. To be **requantized** is to "
            "be rounded to four bits once more."
        )
    with result:
        if guessed:
            frame.badge(NAME)
            _costs(NAME, _formats())
        else:
            frame.until(NAME)
            _known()
    if guessed:
        _by_layer()
        if frame.there(LARGE):
            _large()
        _practice()
        frame.runs(NAME, CODE, (NAME, LAYERS, LARGE))


def _formats() -> list[str]:
    return [quant for quant in FORMATS if chosen(stored_finding(NAME).rows, quant=quant)]


def _known() -> None:
    """Before the guess: the losses that lead up to the merge."""
    rows = chosen(stored_finding(NAME).rows, quant="nf4")
    drawn = [
        {"name": words, "kind": "NF4", **spread(list(by_seed(rows, column).values()))}
        for column, words in BEFORE.items()
    ]
    told = "; ".join(f"{row['name']} {row['mean']:.3f}" for row in drawn)
    show.chart(intervals_chart(drawn, "held-out loss (cross-entropy)"), f"Loss before anything is merged: {told}.")


def _costs(name: str, formats: Sequence[str]) -> None:
    chart, told = _cost_chart(name, tuple(formats))
    show.chart(chart, told)
    st.caption("An interval that does not touch the dashed line is a difference beyond chance, paired in each seed.")


@functools.lru_cache(maxsize=2)
def _cost_chart(name: str, formats: tuple[str, ...]) -> tuple[Any, str]:
    rows = [
        {"name": words, "kind": FORMATS[quant], **_row(merge_cost(way, quant, name))}
        for way, words in WAYS.items()
        for quant in formats
    ]
    told = "; ".join(f"{row['kind']} {row['name']} {row['mean']:+.4f}" for row in rows)
    step = 34 + 12 * (len(formats) - 1)
    return intervals_chart(rows, AXIS, "as before", step), f"Change of the held-out loss by merging: {told}."


def _row(found: Interval) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "low": found.mean - found.half_width,
        "high": found.mean + found.half_width,
        "seeds": found.count,
    }


def _by_layer() -> None:
    words, picture = st.columns([0.3, 0.7], gap="medium")
    rows = _layer_rows()
    above = sum(row["error"] > row["update"] for row in rows) / len(rows)
    with words:
        st.markdown("##### Layer by layer")
        st.markdown(
            f"Above the dashed line rounding the sum moves a weight further than training did: {above:.0%} of these "
            f"layers. Of what was learned, rounding to NF4 loses {lost_by_rounding():.1%}."
        )
    with picture:
        show.chart(errors_chart(rows), "Error of rounding each merged layer to four bits over the size of its update.")


@functools.lru_cache(maxsize=1)
def _layer_rows() -> list[dict[str, Any]]:
    found: dict[tuple[str, str], list[Any]] = {}
    for row in stored_finding(LAYERS).rows:
        found.setdefault((str(row["layer"]), FORMATS[str(row["quant"])]), []).append(row)
    return [
        {
            "layer": layer,
            "kind": kind,
            "update": point("", 0, [row["update"] for row in rows])["mean"],
            "error": point("", 0, [row["requantized_error"] for row in rows])["mean"],
            "seeds": len(rows),
        }
        for (layer, kind), rows in found.items()
    ]


def _large() -> None:
    chart, told = _cost_chart(LARGE, ("nf4",))
    steps = stored_finding(LARGE).rows[0]["steps"]
    note = (
        f"Of what {steps} steps had learned, rounding to NF4 loses {lost_by_rounding(LARGE):.0%}; on the digits it was "
        f"{lost_by_rounding():.1%}."
    )
    frame.large(LARGE, chart, told, note)


def _practice() -> None:
    st.markdown("##### What to do")
    st.markdown(
        "Keep the adapter beside its 4-bit base, or merge into floats: into the dequantized ones it is what was "
        "trained, up to rounding of floats. Round again only after measuring, on your own data, what that costs."
    )
    show.code(merging_code("meta-llama/Llama-3.1-8B", "my-adapter"), "merge.py")

"""PEFT's published comparison as a Pareto plot, joined to the visitor's own model and card."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.evidence.accuracy import COMMONSENSE
from peftcalc.evidence.quality import DISAGREEMENT, OTHER, QualityRun, pareto, quality_runs
from peftcalc.memory.fit import fit, refusals
from peftcalc.plots.chart import Chart
from peftcalc.plots.evidence.quality import COSTS, quality_chart
from peftcalc.ui import page, show, state
from peftcalc.ui.memory.setup import Setup


def draw(setup: Setup) -> None:
    """The picture; our methods among the runs, with what they would need here; the other source."""
    cost = state.choice("Accuracy against", tuple(COSTS), "cost", "memory")
    page.badge("measured", "63 runs of Llama-3.2-3B on MetaMathQA, one L40S, one seed each; published by PEFT")
    show.chart(_chart(cost), f"Accuracy on GSM8K against {cost}; the dashed line joins the runs that nothing beats.")
    st.markdown(f"**The same methods on your model and card** ({page.escape(_model(setup))}, {setup.card.name})")
    show.table(_joined(setup), "quality", "Published accuracy, and the bytes that are needed here", right="%.1f %%")
    st.info(DISAGREEMENT, icon=":material/balance:")
    papers = page.folded("The DoRA paper's table", "dora-paper")
    if papers:
        with papers:
            rows = [(model, *values) for model, values in COMMONSENSE.items()]
            columns = ["model", "LoRA, rank 32", "DoRA, rank 32", "DoRA, rank 16"]
            frame = pd.DataFrame(rows, columns=columns)
            show.table(frame, "dora-paper", "Average accuracy on eight commonsense tasks (arXiv:2402.09353, table 1)")
    everything = page.folded("All 63 runs", "all-runs")
    if everything:
        with everything:
            show.table(_all(), "runs", "Every run of PEFT's comparison", right="%.1f %%")


@lru_cache(maxsize=2)
def _chart(cost: str) -> Chart:
    runs = quality_runs()
    return show.ready(quality_chart(runs, pareto(runs, COSTS[cost][0]), cost, OTHER))


def _model(setup: Setup) -> str:
    return setup.shapes.id or setup.shapes.architecture


def _joined(setup: Setup) -> pd.DataFrame:
    rows = [_row(run, setup) for run in quality_runs() if run.method is not None]
    return pd.DataFrame(rows)


def _row(run: QualityRun, setup: Setup) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": run.name.replace("/llama-3.2-3B", ""),
        "right": run.accuracy_percent,
        "forgetting, nats": round(run.forgetting, 3),
        "reserved there": units.gib(run.reserved_bytes),
        "seconds there": round(run.step_seconds),
    }
    assert run.method is not None
    try:
        if refusals(setup.shapes, [run.method]):
            return row | {"needed here": "refused by peft"}
        one = fit(setup.shapes, setup.card, [run.method], setup.batch, setup.sequence, **setup.options)[0]
    except ValueError:  # its targets, q_proj and v_proj, are not this model's names
        return row | {"needed here": "other names of modules"}
    return row | {"needed here": units.gib(one.needed.expected_bytes), "verdict here": one.verdict}


@st.cache_data
def _all() -> pd.DataFrame:
    rows = [
        {
            "run": run.name,
            "kind": run.kind,
            "rank": run.rank or None,
            "targets": run.targets,
            "right": run.accuracy_percent,
            "forgetting, nats": run.forgetting,
            "reserved": units.gib(run.reserved_bytes),
            "seconds of steps": run.step_seconds,
            "trained": units.short_count(run.trainable),
            "source": run.source,
        }
        for run in quality_runs()
    ]
    return pd.DataFrame(rows)

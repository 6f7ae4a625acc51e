"""Where the bytes of one step are: its terms with their formulas, and its course, operator by operator."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.jobs.job import Job
from peftcalc.memory.fit import Fit
from peftcalc.memory.records import PARTS, MemoryTrace
from peftcalc.memory.simulate.trace_json import stored_trace, trace_from_json
from peftcalc.methods import METHODS
from peftcalc.models.shapes import ModelShapes
from peftcalc.plots import memory as plots
from peftcalc.plots.chart import Chart
from peftcalc.recipes.calls import fit_code
from peftcalc.recipes.model_source import is_bundled
from peftcalc.ui import live, page, show, state
from peftcalc.ui.memory.setup import Setup

SLOT = "memory"


def draw(setup: Setup, fits: list[Fit]) -> None:
    """One method is chosen for both; the terms and the code are drawn when they are opened."""
    names = [method.name for method in setup.methods]
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        default = "qlora" if "qlora" in names else names[0]
        name = state.choice("Method", names, "method", default, lambda key: METHODS[key].label)
        parameters = _parameters(setup, name)
        if st.button("Simulate this", type="primary", icon=":material/timeline:"):
            st.session_state["simulated"] = parameters
            live.submit(SLOT, "simulate", [parameters])
    _simulation(parameters, fits, name)
    chosen = next(one for one in fits if one.method.name == name)
    terms = page.folded("Where each byte comes from: terms, formulas, sources", "terms")
    if terms:
        with terms:
            _terms(chosen)
    code = page.folded("The same in code", "code")
    if code:
        with code:
            show.code(fit_code(setup.shapes, chosen, setup.batch, setup.sequence, setup.options), "estimate.py")


def _terms(chosen: Fit) -> None:
    frame = pd.DataFrame(
        [(PARTS[t.part], t.name, t.formula, units.gib(t.bytes), t.bytes, t.source) for t in chosen.estimate.terms],
        columns=["part", "what", "formula", "size", "bytes", "source"],
    )
    show.table(frame, "terms", f"Terms of the estimate for {chosen.method.label}")


def _parameters(setup: Setup, name: str) -> dict[str, Any]:
    """What a worker is asked to simulate: the step on the chosen card."""
    options = {**setup.options, "card": setup.card.name}
    sizes = {"rank": setup.rank, "batch": setup.batch, "sequence": setup.sequence, "options": options}
    return {**sizes, "model": _model_key(setup.shapes), "method": name}


def _model_key(shapes: ModelShapes) -> Any:
    """What a worker rebuilds the model from: the catalogue's id if it is that very record, else the configuration."""
    return shapes.id if is_bundled(shapes) else dict(shapes.config)


def _simulation(parameters: dict[str, Any], fits: list[Fit], name: str) -> None:
    """The visitor's own if it is of these settings, else a stored one."""
    live.watch(SLOT, lambda job: None)
    job = live.current(SLOT)
    if job is not None and st.session_state.get("simulated") == parameters and _has_trace(job):
        trace = trace_from_json(job.records[-1])
        estimate = next(one.estimate.total for one in fits if one.method.name == name)
        page.badge("simulated", METHODS[name].label)
        _numbers(trace, ("The estimate said", units.gib(estimate), f"{100 * (estimate / trace.peak - 1):+z.1f} %"))
        _course(trace, plots.timeline_chart(trace))
        return
    stored = stored_trace(name)
    page.badge("stored run", f"Llama-3.1-8B, {METHODS[name].label}, 1 × 2,048 tokens, checkpointing")
    whole = stored.trace.reserved + stored.trace.context_allowance.expected_bytes
    _numbers(stored.trace, ("nvidia-smi would show about", units.gib(whole), None))
    _course(stored.trace, _stored_chart(name))
    st.caption(f"Simulated {stored.made}.")


def _has_trace(job: Job) -> bool:
    return bool(job.records) and "peak" in job.records[-1]


@lru_cache(maxsize=len(METHODS))
def _stored_chart(name: str) -> Chart:
    return show.ready(plots.timeline_chart(stored_trace(name).trace))


def _numbers(trace: MemoryTrace, third: tuple[str, str, str | None]) -> None:
    with st.container(horizontal=True, gap="large", key="answer-step"):
        st.metric("Peak, allocated", units.gib(trace.peak), width="content")
        st.metric("Reached in the", trace.phase, width="content")
        st.metric(*third, "off", width="content")


def _course(trace: MemoryTrace, chart: Chart) -> None:
    parts = ", ".join(f"{words} {units.gib(getattr(trace.breakdown, part))}" for part, words in PARTS.items())
    show.chart(chart, f"Memory over one training step; the peak of {units.gib(trace.peak)} is made of {parts}.")
    allowance = trace.context_allowance
    st.caption(
        f"The step of transformers, peft and bitsandbytes runs on tensors without data: {trace.operators:,} operators, "
        f"layers {', '.join(map(str, trace.traced_layers))} of {trace.layers}. Beside what is allocated, the allocator "
        f"keeps about {units.gib(trace.reserved_allowance.expected_bytes)} and the CUDA context "
        f"{units.gib(allowance.low_bytes)} to {units.gib(allowance.high_bytes)}."
    )
    for note in trace.notes:
        st.info(page.escape(note), icon=":material/info:")

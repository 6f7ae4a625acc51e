"""Will it fit, and where do the bytes go? Estimated at once, simulated behind, measured where somebody published it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.evidence.published import published
from peftcalc.jobs.job import Job
from peftcalc.memory.cards import all_gpus, gpu, gpus
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.fit import FIVE_METHODS, Fit, fit, largest_models
from peftcalc.memory.records import PARTS, MemoryTrace
from peftcalc.memory.serving.tasks import serving_table
from peftcalc.memory.simulate.trace_json import stored_trace, trace_from_json
from peftcalc.methods import METHODS, LoRA, Method, make_method
from peftcalc.models.catalogue import catalogue_ids
from peftcalc.models.shapes import ModelShapes
from peftcalc.plots import memory as plots
from peftcalc.recipes.calls import fit_code
from peftcalc.recipes.model_source import is_bundled
from peftcalc.ui import live, memory_options, model_choice, page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.memory import MEMORY
from peftcalc.ui.pages import entry_at

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
SEQUENCES = (128, 256, 512, 768, 1024, 2048, 4096, 8192, 16384, 32768)
CARDS = ("T4", "V100 16GB", "RTX 3060 12GB", "RTX 4090", "RTX 5090", "L40S", "A100 80GB", "H100 80GB", "H200")
SLOT = "memory"


def main() -> None:
    page.open_page(
        entry_at("memory").question,
        "Bytes of one training step at its peak: estimated at once in closed form, and simulated operator by operator.",
    )
    lessons.show_presets(MEMORY, "memory")
    controls, result = st.columns([1, 2], gap="large")
    with page.errors_as_sentences():
        with controls:
            shapes = model_choice.choose_model()
            card = gpu(state.menu("Card", [card.name for card in all_gpus()], "gpu", "RTX 4090"))
            rank = state.slider("Rank", RANKS, "rank", 16)
            batch = state.slider("Sequences in a batch", BATCHES, "batch", 1)
            sequence = state.slider("Tokens in a sequence", SEQUENCES, "sequence", 2048, lambda n: f"{n:,}")
            options = memory_options.option_controls()
        methods = tuple(make_method(name, rank=rank, alpha=2 * rank) for name in METHODS)
        fits = fit(shapes, card, methods, batch, sequence, **options)
        with result:
            the_bars(fits, options)
        the_terms(shapes, fits, batch, sequence, options)
        the_simulation(shapes, fits, {"rank": rank, "batch": batch, "sequence": sequence, "options": options})
        the_cards(shapes, methods, batch, sequence, options)
        the_serving(shapes, rank)
    the_accuracy()
    lessons.show_prediction(MEMORY, "memory")
    lessons.show_try_this(MEMORY, "memory")
    state.link_notes()


def the_bars(fits: list[Fit], options: dict[str, Any]) -> None:
    card = fits[0].gpu
    page.badge("estimated", "closed form, each term with its formula below")
    breakdowns = {f.method.label: f.estimate for f in fits}
    allowance = fits[0].needed.expected_bytes - fits[0].needed.peak_bytes
    spoken = ", ".join(f"{f.method.label} {units.gib(f.estimate.total)}, {f.verdict}" for f in fits)
    show.chart(
        plots.bars_chart(breakdowns, card.usable_bytes, card.name, allowance),
        f"Peak memory by part for the five methods against {card.name} with {units.gib(card.usable_bytes)}: {spoken}.",
    )
    frame = pd.DataFrame(
        [
            (
                f.method.label,
                units.gib(f.estimate.total),
                units.gib(f.needed.expected_bytes),
                f.verdict,
                f.largest_batch,
                f.largest_sequence,
            )
            for f in fits
        ],
        columns=["method", "allocated", "with allocator and context", "verdict", "largest batch", "longest sequence"],
    )
    show.table(frame, "fit", f"Which methods fit on the {card.name}")
    notes = [note for f in fits for note in f.estimate.notes]
    if options["dtype"] == "bfloat16" and not card.bfloat16:
        notes.append(f"{card.name} has no bfloat16: choose float16, which takes the same bytes")
    for note in dict.fromkeys(notes):
        st.info(page.escape(note), icon=":material/info:")


def the_terms(shapes: ModelShapes, fits: list[Fit], batch: int, sequence: int, options: dict[str, Any]) -> None:
    with st.expander("Where each byte comes from: the terms, their formulas and sources; as code"):
        by_label = {f.method.label: f for f in fits}
        label = state.choice("Method of the terms", list(by_label), "terms", "QLoRA")
        chosen = by_label[label]
        frame = pd.DataFrame(
            [(PARTS[t.part], t.name, t.formula, units.gib(t.bytes), t.bytes, t.source) for t in chosen.estimate.terms],
            columns=["part", "what", "formula", "size", "bytes", "source"],
        )
        show.table(frame, "terms", f"Terms of the estimate for {label}")
        show.code(fit_code(shapes, chosen, batch, sequence, options), "estimate.py")


def the_simulation(shapes: ModelShapes, fits: list[Fit], setting: dict[str, Any]) -> None:
    st.header("The course of one step, simulated", anchor="simulation")
    st.caption(
        "The training step of transformers, peft and bitsandbytes runs on tensors without data, and every storage is "
        "counted while it lives."
    )
    labels = {METHODS[name].label: name for name in METHODS}
    label = state.choice("Method to simulate", list(labels), "simulate", "QLoRA")
    parameters = {**setting, "model": _model_key(shapes), "method": labels[label]}
    if st.button("Simulate these settings", type="primary", icon=":material/timeline:"):
        st.session_state["simulated"] = parameters
        live.submit(SLOT, "simulate", [parameters])
    live.watch(SLOT, lambda job: None)
    job = live.current(SLOT)
    if job is not None and st.session_state.get("simulated") == parameters and _has_trace(job):
        page.badge("simulated", label)
        _show_trace(trace_from_json(job.records[-1]), fits, labels[label])
        return
    stored = stored_trace(labels[label])
    page.badge("stored run", f"Llama-3.1-8B, {label}, 1 × 2,048 tokens, checkpointing; simulated {stored.made}")
    _show_trace(stored.trace, None, labels[label])


def _has_trace(job: Job) -> bool:
    return bool(job.records) and "peak" in job.records[-1]


def _model_key(shapes: ModelShapes) -> Any:
    """What a worker rebuilds the model from: the catalogue's id if it is that very record, else the configuration."""
    return shapes.id if is_bundled(shapes) else dict(shapes.config)


def _show_trace(trace: MemoryTrace, fits: list[Fit] | None, name: str) -> None:
    first, second, third = st.columns(3)
    first.metric("Peak, allocated", units.gib(trace.peak))
    second.metric("Reached in the", trace.phase)
    if fits is not None:
        estimate = next(f.estimate.total for f in fits if f.method.name == name)
        third.metric("The estimate said", units.gib(estimate), f"{100 * (estimate / trace.peak - 1):+.1f} %", "off")
    else:
        third.metric("nvidia-smi would show about", units.gib(trace.reserved + trace.context_allowance.expected_bytes))
    parts = ", ".join(f"{words} {units.gib(getattr(trace.breakdown, part))}" for part, words in PARTS.items())
    show.chart(
        plots.timeline_chart(trace),
        f"Memory over one training step; the peak of {units.gib(trace.peak)} is made of {parts}.",
    )
    allowance = trace.context_allowance
    st.caption(
        f"{trace.operators:,} operators; layers traced: {', '.join(map(str, trace.traced_layers))} of {trace.layers}. "
        f"Beside what is allocated, the allocator keeps about {units.gib(trace.reserved_allowance.expected_bytes)} "
        f"and the CUDA context {units.gib(allowance.low_bytes)} to {units.gib(allowance.high_bytes)}."
    )
    for note in trace.notes:
        st.info(page.escape(note), icon=":material/info:")


@st.fragment
def the_cards(
    shapes: ModelShapes, methods: tuple[Method, ...], batch: int, sequence: int, options: dict[str, Any]
) -> None:
    st.header("Which card?", anchor="cards")
    rows = [
        (
            card.name,
            f.method.label,
            f.verdict,
            f.needed.expected_bytes,
            card.usable_bytes,
            f.largest_batch,
            f.largest_sequence,
        )
        for card in map(gpu, CARDS)
        for f in fit(shapes, card, methods, batch, sequence, **options)
    ]
    names = ["gpu", "method", "verdict", "needed", "usable", "largest_batch", "largest_sequence"]
    frame = pd.DataFrame(rows, columns=names)
    fitting = ", ".join(f"{row[1]} on {row[0]}" for row in rows if row[2] == "fits")
    show.chart(plots.fit_chart(frame), f"Which methods fit on which card. Fitting: {fitting or 'none'}.")
    show.download_csv(frame, "cards")
    if state.switch("The largest model that each card can fine-tune", "largest"):
        show.table(
            _largest().reset_index(), "largest-models", "The largest model of the catalogue for each card and method"
        )
        st.caption("One sequence of 2,048 tokens, rank 16, gradient checkpointing; estimated.")
    with st.expander("All cards, with their sources"):
        show.table(gpus().reset_index(), "gpus", "Cards, memory, bandwidth and sources")


@st.cache_data(show_spinner="Trying every model on every card …")
def _largest() -> pd.DataFrame:
    return largest_models(CARDS, FIVE_METHODS, checkpointing=True)


def the_serving(shapes: ModelShapes, rank: int) -> None:
    with st.expander("Serving: one base with many adapters, or many whole models"):
        table = serving_table(shapes, LoRA(rank=rank))
        shown = table.map(units.gb).reset_index()
        shown.columns = [
            "tasks",
            "memory: base + adapters",
            "memory: whole models",
            "disk: adapters",
            "disk: whole models",
        ]
        page.badge("exact", "weights only")
        show.table(shown, "serving", "Memory and disk for serving many tasks")


@st.fragment
def the_accuracy() -> None:
    st.header("How accurate is this?", anchor="accuracy")
    frame = _accuracy()
    known = frame.loc[frame["setup"] == "known", "error"].abs()
    page.badge("measured", "by others, published")
    st.markdown(
        f"{len(frame)} published measurements; where the set-up is known ({len(known)}), the estimate is off by "
        f"**{100 * known.mean():.1f} %** on average and {100 * known.max():.1f} % at worst. "
        "Our own GPU rows are still to come."
    )
    show.chart(plots.accuracy_chart(frame), "Predicted against measured memory; points on the line are exact.")
    shown = frame.assign(measured=frame["measured"].map(units.gib), predicted=frame["predicted"].map(units.gib))
    shown["error"] = (100 * frame["error"]).round(1)
    show.table(shown, "accuracy", "Predicted and measured memory, every row with its source", error="%+.1f %%")


@st.cache_data
def _accuracy() -> pd.DataFrame:
    rows = []
    bundled = set(catalogue_ids())
    for row in published():
        if not isinstance(row.model, str) or row.model not in bundled:
            continue  # its shapes would have to be built with transformers, which takes seconds
        peak = estimate_memory(row.model, row.method, row.batch, row.sequence, **row.options).total
        rows.append(
            {
                "id": row.id,
                "method": row.method.label,
                "setup": row.setup,
                "measured": row.measured_bytes,
                "predicted": row.predict(peak),
                "error": row.error(peak),
                "by": "estimated",
                "source": row.source,
            }
        )
    return pd.DataFrame(rows)


main()

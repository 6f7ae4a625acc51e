"""What this is, in one screen: four doors, each with a result that was just computed."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.counting.count import count
from peftcalc.lab.stored_runs import stored_run
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.methods import METHODS, DoRA, LoRA, QLoRA, make_method
from peftcalc.models.catalogue import catalogue_ids, catalogue_shapes
from peftcalc.plots import home as plots
from peftcalc.ui import page, show
from peftcalc.ui.pages import as_page, entry_at

MODEL = "meta-llama/Llama-3.1-8B"
NAME = "Llama-3.1-8B"
RANK = 16


def main() -> None:
    page.open_page(
        entry_at("").question,
        "LoRA, DoRA, QLoRA, QDoRA and full fine-tuning: counted to the parameter, sized to the byte, trained before "
        "your eyes. Each number says whether it is exact, estimated, simulated or measured.",
    )
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        parameters_door()
    with right.container(border=True, height="stretch"):
        memory_door()
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        train_door()
    with right.container(border=True, height="stretch"):
        quantization_door()
    st.caption(f"{len(catalogue_ids())} models are built in, and any config.json can be read.")


def parameters_door() -> None:
    door("parameters", "exact")
    shapes = catalogue_shapes(MODEL)
    counted = count(shapes, LoRA(rank=RANK))
    more = count(shapes, DoRA(rank=RANK)).trainable - counted.trainable
    first, second = st.columns(2)
    first.metric(f"LoRA rank {RANK} trains", units.short_count(counted.trainable))
    second.metric(f"of {NAME}", units.percent(counted.percent))
    st.caption(f"{counted.trainable:,} parameters; DoRA adds a magnitude for every output row: {more:,}.")


def memory_door() -> None:
    door("memory", "estimated")
    frame, full, small = _memory()
    show.chart(
        plots.peaks_chart(frame),
        "Peak memory of one training step: " + ", ".join(f"{m} {g:.1f} GiB" for m, g in frame.to_numpy()),
    )
    st.caption(
        f"{NAME}, batch 1, 2,048 tokens, checkpointing: {units.gib(full)} in full, {units.gib(small)} with QLoRA."
    )


def train_door() -> None:
    door("train", "stored run")
    tracks = stored_run("names").board.tracks.values()
    points = [(track.label, look.step, look.validation) for track in tracks for look in track.looks]
    frame = pd.DataFrame(points, columns=["method", "step", "loss"])
    show.chart(plots.losses_chart(frame), "Held-out loss of the five methods on Japanese city names; all fall alike.")
    looks = next(track for track in tracks if track.method == "lora").looks
    before, after = (", ".join(str(name) for name in look.samples[:3]) for look in (looks[0], looks[-1]))
    st.caption(page.escape(f"City names it makes before: {before}. After LoRA on Japanese ones: {after}."))


def quantization_door() -> None:
    door("quantization", "exact")
    shapes = catalogue_shapes(MODEL)
    nested, plain = (estimate_memory(shapes, QLoRA(double_quant=double)) for double in (True, False))
    saved = plain.quantization_constants - nested.quantization_constants
    first, second = st.columns(2)
    codes = nested.terms[0].bytes  # four bits a weight of the linear layers
    first.metric("Linear layers in 16 bits", units.gb(4 * codes))
    second.metric("The same in NF4", units.gb(codes + nested.quantization_constants))
    bits = 4 * (codes + nested.quantization_constants) / codes
    st.caption(f"{NAME}: {bits:.3f} bits a weight; quantizing the scales as well saves {units.gb(saved)} of it.")


def door(path: str, kind: page.Kind) -> None:
    """The way to a page: its question as a link, and what kind of number stands below."""
    entry = entry_at(path)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.page_link(as_page(entry), label=f"**{entry.question}**", icon=entry.icon)
        page.badge(kind)


@st.cache_data
def _memory() -> tuple[pd.DataFrame, int, int]:
    totals = {
        kind.label: estimate_memory(MODEL, make_method(name, rank=RANK), checkpointing=True).total
        for name, kind in METHODS.items()
    }
    frame = pd.DataFrame([(name, total / units.GIB) for name, total in totals.items()], columns=["method", "GiB"])
    return frame, totals["Full"], totals["QLoRA"]


main()

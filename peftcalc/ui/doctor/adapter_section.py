"""An existing adapter: its config pasted, its tensors uploaded, and what they hold. Nothing is executed or kept."""

from __future__ import annotations

import re
from collections import defaultdict

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.doctor.report import AdapterInspection, LayerUpdate, energy_kept, powers_of_two
from peftcalc.plots import adapter as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.doctor.upload import inspected, smaller_adapter

LARGEST_FILE_MB = 5
AS_SAID = "as its config says"
MOST_SENTENCES = 8


@st.fragment
def an_existing_adapter() -> None:
    """The section of the Parameters page."""
    from peftcalc.models.catalogue import catalogue_ids

    st.header("An existing adapter", anchor="an-existing-adapter")
    controls, result = st.columns([1, 2], gap="large")
    with controls:
        pasted = st.text_area("Paste its adapter_config.json", key="adapter-config", height=160, max_chars=200_000)
        uploaded = st.file_uploader(
            "and upload its tensors (adapter_model.safetensors)",
            "safetensors",
            max_upload_size=LARGEST_FILE_MB,
            key="adapter-file",
        )
        chosen = state.menu("Its base model", [AS_SAID, *catalogue_ids()], "adapter-base", AS_SAID)
    with result, page.errors_as_sentences():
        if not pasted.strip() and uploaded is None:
            st.caption(
                f"One of the two is enough, both say more. Up to {LARGEST_FILE_MB} MB; larger ones in a terminal: "
                "`python -m peftcalc adapter FOLDER`. A pickle (adapter_model.bin) is not read."
            )
        else:
            content = uploaded.getvalue() if uploaded is not None else None
            base = None if chosen == AS_SAID else chosen
            _answer(inspected(pasted, content, base), pasted, content)
    state.link_notes()


def _answer(found: AdapterInspection, pasted: str, content: bytes | None) -> None:
    page.badge("exact", "what the files hold")
    first, second, third, fourth = st.columns(4)
    first.metric("Method", found.method or "unknown")
    trained = f"{found.trainable:,} parameters" if found.trainable is not None else "the base model is not known"
    second.metric("Trained", units.short_count(found.trainable) if found.trainable else "–", help=trained)
    third.metric("File", units.gb(found.file_bytes) if found.file_bytes else "–")
    fourth.metric("Faults", f"{len(found.faults):,}")
    for fault in found.faults[:MOST_SENTENCES]:
        st.error(page.escape(f"{fault}."), icon=":material/error:")
    if content is not None and found.sound:
        st.success("Every check passed: peft finds all that it looks for.", icon=":material/check:")
    if found.layers:
        _updates(found)
        _cut(found, pasted, content)
    for note in found.notes[:MOST_SENTENCES]:
        st.info(page.escape(f"{note}."), icon=":material/info:")
    with st.expander("The tables, and as code"):
        if found.stored:
            parts = [(s.part, s.dtype, s.tensors, s.parameters, s.nbytes) for s in found.stored]
            frame = pd.DataFrame(parts, columns=["part", "type", "tensors", "numbers", "bytes"])
            show.table(frame, "adapter-bytes", "What takes the bytes of the file")
        if found.layers:
            show.table(found.by_layer.reset_index(), "adapter-by-layer", "The updates by layer")
        show.code('import peftcalc as pc\n\nprint(pc.inspect_adapter("FOLDER").by_layer)', "inspect_adapter.py")


def _updates(found: AdapterInspection) -> None:
    st.subheader("What it has learned, by layer", anchor=False)
    rows = [
        (_depth(u.module), u.module.rpartition(".")[2], u.module, u.frobenius_norm, u.effective_rank, u.rank)
        for u in found.layers
    ]
    frame = pd.DataFrame(rows, columns=["layer", "name", "module", "norm", "effective_rank", "rank"])
    largest = max(found.layers, key=lambda update: update.frobenius_norm)
    show.chart(
        plots.updates_chart(frame),
        f"The norm of the update s · B A of {len(rows):,} modules by layer; the largest is {largest.module}'s, "
        f"{largest.frobenius_norm:.3g}.",
    )


def _cut(found: AdapterInspection, pasted: str, content: bytes | None) -> None:
    """The energy within a rank, and the smaller adapter to take away."""
    st.subheader("How far it can be cut", anchor=False)
    ranks = powers_of_two(found.largest_rank)
    rank = st.select_slider("Cut to rank", ranks, ranks[-2] if len(ranks) > 1 else ranks[-1]) if ranks[1:] else ranks[0]
    groups: dict[str, list[LayerUpdate]] = defaultdict(list)
    for update in found.layers:
        groups[update.module.rpartition(".")[2]].append(update)
    by_name = {name: energy_kept(updates) for name, updates in groups.items()}
    rows = [(k, name, 100 * kept[min(k, len(kept)) - 1]) for name, kept in by_name.items() for k in ranks]
    kept = found.within(rank)
    show.chart(
        plots.energy_chart(pd.DataFrame(rows, columns=["rank", "name", "percent"]), rank),
        f"Share of the energy kept at rank {', '.join(map(str, ranks))}, by module name; at rank {rank} "
        f"{units.percent(100 * kept)} of all.",
    )
    st.caption(
        f"At rank {rank} the nearest adapter (Eckart & Young 1936) keeps {units.percent(100 * kept)} of ‖s · B A‖² and "
        f"loses {units.percent(100 * (1 - kept))}."
    )
    if pasted.strip() and content is not None and found.method in ("LoRA", "DoRA"):
        st.download_button(
            f"Take the adapter of rank {rank}",
            smaller_adapter(pasted, content, rank),
            f"adapter-rank-{rank}.zip",
            "application/zip",
            on_click="ignore",
            icon=":material/download:",
            help="A worker process of this server cuts it when you press.",
        )


def _depth(module: str) -> int:
    """The first number in the module's name, 0 without one."""
    number = re.search(r"(?:^|\.)(\d{1,6})(?:\.|$)", module)
    return int(number[1]) if number else 0

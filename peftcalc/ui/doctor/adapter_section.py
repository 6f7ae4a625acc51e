"""An adapter: an example, or a visitor's own, uploaded or named on the hub, and what it holds; nothing is executed."""

from __future__ import annotations

import re
from collections import defaultdict

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.doctor.report import AdapterInspection, LayerUpdate, energy_kept, powers_of_two
from peftcalc.plots import adapter as plots
from peftcalc.ui import page, show, state
from peftcalc.ui.doctor import example_adapter
from peftcalc.ui.doctor.upload import LARGEST_FILE_MB, by_hub_id, inspected, smaller_adapter

AS_SAID = "as its config says"
MOST_SENTENCES = 8


def your_adapter() -> None:
    """The section of the Parameters page."""
    from peftcalc.models.catalogue import catalogue_ids

    controls, result = page.controls_and_result("adapter")
    with controls:
        uploaded = st.file_uploader(
            "Its tensors (adapter_model.safetensors)",
            "safetensors",
            max_upload_size=LARGEST_FILE_MB,
            key="adapter-file",
        )
        pasted = st.text_area("and adapter_config.json, pasted", key="adapter-config", height=110, max_chars=200_000)
        hub_id = state.text("or its id on the hub", "adapter-hub", placeholder="organisation/adapter").strip()
        chosen = state.menu("Its base model", [AS_SAID, *catalogue_ids()], "adapter-base", AS_SAID)
        st.caption(
            f"One of the two is enough, both say more. Up to {LARGEST_FILE_MB} MB, of a larger one on the hub "
            "its header; larger ones in a terminal: `python -m peftcalc adapter FOLDER`. A pickle (adapter_model.bin) "
            "is not read. Nothing is kept."
        )
    base = None if chosen == AS_SAID else chosen
    with result, page.errors_as_sentences():
        if pasted.strip() or uploaded is not None:
            if hub_id:
                st.info(
                    f"This is what you gave; without it {page.escape(hub_id)} is looked up.", icon=":material/info:"
                )
            content = uploaded.getvalue() if uploaded is not None else None
            _answer(inspected(pasted, content, base), pasted, content)
        elif hub_id:
            config, content, about = by_hub_id(hub_id)
            _answer(inspected(config, content, base, about), config, None if about.length else content, hub_id)
        else:
            st.caption(example_adapter.SAYS)
            _answer(example_adapter.inspection(), *example_adapter.files())


def _answer(found: AdapterInspection, pasted: str, content: bytes | None, source: str = "FOLDER") -> None:
    _figures(found)
    for fault in found.faults[:MOST_SENTENCES]:
        st.error(page.escape(f"{fault}."), icon=":material/error:")
    if found.layers:
        updates, cut = st.columns(2, gap="medium")
        with updates:
            _updates(found)
        with cut:
            _cut(found, pasted, content)
    if content is not None and found.sound:
        with_base = "passed: peft finds all that it looks for." if found.count else "that needs no base model passed."
        st.success(f"Every check {with_base}", icon=":material/check:")
    for note in found.notes[:MOST_SENTENCES]:
        st.info(page.escape(f"{note}."), icon=":material/info:")
    _tables(found, source)


def _figures(found: AdapterInspection) -> None:
    trained = found.trainable if found.trainable is not None else found.stored_parameters
    known = "parameters" if found.trainable is not None else "numbers in the file; the base is not known"
    with st.container(horizontal=True, gap="large", key="answer-adapter", vertical_alignment="bottom"):
        st.metric("Method", found.method or "unknown", width="content")
        st.metric(
            "Trained", units.short_count(trained) if trained else "–", width="content", help=f"{trained:,} {known}"
        )
        st.metric("File", units.gb(found.file_bytes) if found.file_bytes else "–", width="content")
        st.metric("Faults", f"{len(found.faults):,}", width="content")
        page.badge("exact", "what the files hold")


@st.fragment
def _tables(found: AdapterInspection, source: str) -> None:
    """Computed when they are opened."""
    opened = st.expander("The tables, and as code", key="adapter-tables", on_change="rerun")
    if not opened.open:
        return
    with opened:
        if found.stored:
            parts = [(s.part, s.dtype, s.tensors, s.parameters, s.nbytes) for s in found.stored]
            frame = pd.DataFrame(parts, columns=["part", "type", "tensors", "numbers", "bytes"])
            show.table(frame, "adapter-bytes", "What takes the bytes of the file")
        if found.layers:
            frame = found.by_layer.reset_index()
            spoken = frame.rename(columns={column: column.replace("_", " ") for column in frame.columns})
            show.table(spoken, "adapter-by-layer", "The updates by layer")
        show.code(f"import peftcalc as pc\n\nprint(pc.inspect_adapter({source!r}).by_layer)", "inspect_adapter.py")


def _updates(found: AdapterInspection) -> None:
    st.markdown("##### What it has learned, by layer")
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
    st.markdown("##### How far it can be cut")
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

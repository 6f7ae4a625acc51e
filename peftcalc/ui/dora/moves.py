"""How trained matrices move: ΔM against ΔD of matrices and of neurons, stored or trained now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from peftcalc.geometry.direction import pure_turning
from peftcalc.geometry.magnitude_direction_plane import PANELS, correlated, last_loss, neurons, points
from peftcalc.jobs.job import Job
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.methods import METHODS
from peftcalc.plots import direction as plots
from peftcalc.ui import live, page, show, state
from peftcalc.ui.lessons import dora as data
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.dora import MOVES

SLOT = "dora"


def moves() -> None:
    st.header("How trained matrices move", anchor="moves")
    lessons.show_presets(MOVES, "moves")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        decay = state.choice("Weight decay", data.DECAYS, "decay", 0.0, lambda value: f"{value:g}")
        norm = state.choice("One length for each", ("row", "column"), "norm", "row")
        relative = state.switch("Relative ΔM", "relative", help="As a share of the length before.")
        base = state.slider("Base model (seed)", data.BASES, "base", 0)
        live.train_button(SLOT, "Train it again now", _train, (decay, base))
    with result:
        live.watch(SLOT, _look)
        job = live.current(SLOT)
        if job is None or not _has_points(job):
            stored = stored_lesson("dora-moves")
            page.badge("stored run", stored.made)
            _draw(stored.records, decay, base, norm, relative)
    _verdict(decay, norm, relative)
    with st.expander("The formula, with these numbers, and as code"):
        _moves_formula(decay, base, norm, relative)
    lessons.show_prediction(MOVES, "moves")
    lessons.show_try_this(MOVES, "moves")


def _train(decay: float, base: int) -> None:
    st.session_state["_moves"] = (decay, base)
    runs = data.move_runs(decay, base, rows=True)
    workers = min(live.queue().workers, len(runs))
    live.submit(SLOT, "moves", [{"runs": runs[start::workers]} for start in range(workers)])


def _has_points(job: Job) -> bool:
    return any("matrix" in record for record in job.records)


def _look(job: Job) -> None:
    """The visitor's own run; until its first checkpoint the stored one stays on the page below."""
    decay, base = st.session_state["_moves"]
    seen, has = st.session_state.get("_moves_seen"), _has_points(job)
    st.session_state["_moves_seen"] = has
    if not has:
        st.caption("The first checkpoint is a quarter of the way; until then the stored run stays below.")
        return
    if seen is False and job.alive:
        st.rerun()  # the stored run leaves the page
    page.badge("measured", f"weight decay {decay:g}, base model {base}")
    norm, relative = st.session_state.get("norm", "row"), bool(st.session_state.get("relative"))
    _draw(job.records, decay, base, norm, relative)


def _draw(records: Sequence[Mapping[str, Any]], decay: float, base: int, norm: str, relative: bool) -> None:
    """Four panels of matrices, and below them four of neurons, each row with shared axes."""
    ending = data.ending(base, decay)
    found = {panel: points(records, panel, ending, norm, relative) for panel in PANELS}
    everything = [point for panel in found.values() for point in panel]
    highest = 1.05 * max(p["turn"] for p in everything), 1.05 * max(p["length"] for p in everything)
    labels = "ΔD", "ΔM, relative" if relative else "ΔM"
    for column, panel in zip(st.columns(len(PANELS)), PANELS, strict=True):
        with column:
            _matrix_panel(panel, found[panel], highest, labels, last_loss(records, panel, ending))
    st.caption(
        "One mark a matrix and checkpoint, later ones darker; circle: input layer, squares and triangles: first and "
        "second layer of each block, diamond: output. ΔM: mean change of length, ΔD: mean of 1 − cos. Shared axes."
    )
    show.download_csv(
        pd.DataFrame([{"panel": panel, **point} for panel in PANELS for point in found[panel]]), f"moves-{ending}"
    )
    _neuron_panels({panel: neurons(records, panel, ending) for panel in PANELS}, ending)


def _matrix_panel(
    panel: str, found: list[dict[str, Any]], highest: tuple[float, float], labels: tuple[str, str], loss: float
) -> None:
    name, _ = plots.look_of(panel)
    answer = correlated(found)
    told = str(answer) if answer else "too few points yet"
    st.markdown(f"**{name}**")
    frame = pd.DataFrame(found, columns=["matrix", "kind", "checkpoint", "turn", "length"])
    show.chart(plots.moves_chart(frame, panel, highest, labels), f"{name}: ΔM against ΔD, {told}.")
    st.caption(page.escape(told))
    if panel in data.PAPER:
        st.caption(f"The paper: {data.PAPER[panel]:+.2f}. Held-out loss here: {loss:.3f}.")
    else:
        st.caption("As large as LoRA's updates, drawn at random: nothing learned.")


def _neuron_panels(found: dict[str, list[dict[str, Any]]], ending: str) -> None:
    st.subheader("Single neurons at the end", anchor=False)
    if not all(found.values()):
        st.caption("Told for base model 0, and at the end of a run of your own.")
        return
    everything = [point for panel in found.values() for point in panel]
    lengths = [point["length"] for point in everything]
    limits = 1.05 * max(p["turn"] for p in everything), min(1.1 * min(lengths), -0.05), 1.1 * max(lengths)
    for column, panel in zip(st.columns(len(PANELS)), PANELS, strict=True):
        with column:
            name, _ = plots.look_of(panel)
            answer = correlated(found[panel])
            told = str(answer) if answer else "no spread"
            st.markdown(f"**{name}**")
            show.chart(
                plots.neurons_chart(pd.DataFrame(found[panel]), panel, limits),
                f"{name}: relative change of length of each neuron against its turn, {told}; dashed: 1/cos θ − 1.",
            )
            st.caption(page.escape(told))
    st.caption("One dot a row of any matrix. Dashed: rows that only turn, by an update at right angles: 1/cos θ − 1.")
    show.download_csv(
        pd.DataFrame([{"panel": panel, **point} for panel, rows in found.items() for point in rows]),
        f"neurons-{ending}",
    )


def _verdict(decay: float, norm: str, relative: bool) -> None:
    """What reproduces, from the stored figures of all bases under the settings chosen."""
    signs = []
    for panel, paper in data.PAPER.items():
        mean, low, high = data.over_bases(panel, decay, norm, relative)
        sign = "sign varies" if low * high <= 0 else "same sign" if mean * paper > 0 else "other sign"
        signs.append(f"{METHODS[panel].label} {mean:+.2f} ({low:+.2f} to {high:+.2f}; paper {paper:+.2f}: {sign})")
    mean, low, high = data.over_bases("random", decay, norm, relative)
    st.markdown(
        f"**What reproduces under these settings**, mean of {len(data.BASES)} base models (lowest to highest): "
        f"{'; '.join(signs)}. Untrained random updates: {mean:+.2f} ({low:+.2f} to {high:+.2f})."
    )
    st.markdown(
        "Even an equal sign may have another reason than the paper's. Adding an update at right angles to a row "
        "lengthens it, learned or not; weight decay shrinks W in full fine-tuning, m in DoRA, but never LoRA's "
        "frozen W. And this is a network of 50 thousand parameters, not VL-BART: nothing here replicates or refutes "
        "the paper's figure."
    )


def _moves_formula(decay: float, base: int, norm: str, relative: bool) -> None:
    st.latex(
        r"\Delta M = \tfrac{1}{N} \sum_n \bigl|\, \lVert w_n' \rVert - \lVert w_n \rVert \,\bigr| \qquad "
        r"\Delta D = \tfrac{1}{N} \sum_n \bigl(1 - \cos(w_n', w_n)\bigr)"
    )
    found = points(stored_lesson("dora-moves").records, "lora", data.ending(base, decay))[-1]
    curve = float(pure_turning(found["turn"]))
    st.latex(
        rf"\text{{LoRA, matrix {found['matrix']}, at the end: }} \Delta D = {found['turn']:.4f}, \; "
        rf"\Delta M = {found['length']:.4f}; \quad \tfrac{{1}}{{1 - \Delta D}} - 1 = {curve:.4f}"
    )
    runs = "".join(f"    {run},\n" for run in data.move_runs(decay, base))
    show.code(
        "from pathlib import Path\n\n"
        "from peftcalc.geometry.magnitude_direction_plane import PANELS, correlated, points\n"
        f"from peftcalc.lab.watched_runs import moves_job\n\nRUNS = [\n{runs}]\n\n"
        'told = moves_job({"runs": RUNS}, Path())\n'
        "records = [record for _, _, some in told for record in some]\n"
        "for panel in PANELS:\n"
        f'    found = points(records, panel, "{data.ending(base, decay)}", "{norm}", {relative})\n'
        '    print(panel, correlated(found))\n    for point in found:\n        print("   ", point)',
        "moves.py",
    )
    st.caption(
        "Learning rate 1e-3 for full fine-tuning, 1e-2 for the adapters, rank 4, 300 steps, checkpoints at every "
        "quarter. Intervals: 95 %, whole matrices drawn again (bootstrap), since checkpoints of one matrix are not "
        "independent."
    )

"""How trained matrices move: ΔM against ΔD of every matrix at every checkpoint, stored or trained now."""

from __future__ import annotations

import functools

import streamlit as st

from peftcalc.geometry.direction import pure_turning
from peftcalc.geometry.magnitude_direction_plane import points
from peftcalc.jobs.job import Job
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.methods import METHODS
from peftcalc.plots import direction as plots
from peftcalc.ui import live, page, show, state
from peftcalc.ui.dora import moves
from peftcalc.ui.dora.moves import Panel, Panels
from peftcalc.ui.lessons import dora as data
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import predict
from peftcalc.ui.lessons.dora import MOVES

QUESTION = "moves"


def matrices() -> None:
    controls, result = page.controls_and_result(QUESTION, 0.24)
    with controls:
        decay = state.choice("Weight decay", data.DECAYS, "decay", 0.0, lambda value: f"{value:g}")
        norm = state.choice("One length for each", ("row", "column"), "norm", "row")
        relative = state.switch("Relative ΔM", "relative", help="As a share of the length before.")
        base = state.slider("Base model (seed)", data.BASES, "base", 0)
        live.train_button(moves.SLOT, "Train it again now", moves.train, (decay, base))
        st.caption("ΔM: mean change of the rows' lengths. ΔD: mean of 1 − cos of their turns.")
    with result:
        live.watch(moves.SLOT, functools.partial(_look, norm, relative))
        if not moves.has_points(live.current(moves.SLOT)):
            ending = data.ending(base, decay)
            _draw(moves.stored_matrix_panels(ending, norm, relative), ending, relative)
            moves.stored_badge()
        _guess_and_what_came()
    lessons.show_presets(MOVES, QUESTION)
    _verdict(decay, norm, relative)
    show.folded(
        "The formula, with these numbers, and as code",
        "moves",
        functools.partial(_formula, decay, base, norm, relative),
    )
    lessons.show_try_this(MOVES, QUESTION)


def _look(norm: str, relative: bool, job: Job) -> None:
    """The visitor's own run; until its first checkpoint the stored one stays on the page below."""
    seen, has = st.session_state.get("_moves_seen"), moves.has_points(job)
    st.session_state["_moves_seen"] = has
    if not has:
        st.caption("The first checkpoint is a quarter of the way; until then the stored run stays below.")
        return
    if seen is False and job.alive:
        st.rerun()  # the stored run leaves the page
    ending = moves.trained_ending()
    _draw(moves.matrix_panels(job.records, ending, norm, relative), ending, relative)
    moves.own_badge()


def _draw(panels: Panels, ending: str, relative: bool) -> None:
    """Four panels with shared axes, and what can be taken away."""
    labels = "ΔD", "ΔM, relative" if relative else "ΔM"
    moves.two_by_two(panels, functools.partial(_matrix_panel, panels.limits, labels), QUESTION)
    count = max(len(panel.rows) for panel in panels.of.values())
    st.caption(
        f"A mark is a matrix at a checkpoint, later ones stronger: {count} points from 12 matrices a panel. Circle: "
        "input layer; squares, triangles: first and second layer of each block; diamond: output. Shared axes; r with a "
        "95 % interval."
    )
    show.download_csv(panels.table, f"moves-{ending}")


def _matrix_panel(limits: tuple[float, float], labels: tuple[str, str], name: str, panel: Panel) -> None:
    label, _ = plots.look_of(name)
    paper = f" · the paper {data.PAPER[name]:+.2f}".replace("-", "−") if name in data.PAPER else " · as large as LoRA's"
    st.markdown(f"**{label}** {page.escape(panel.told)}{paper}")
    loss = f" Held-out loss {panel.loss:.3f}." if name in data.PAPER else ""
    show.chart(
        plots.moves_chart(panel.rows, name, limits, labels), f"{label}: ΔM against ΔD, {panel.told}{paper}.{loss}"
    )


def _guess_and_what_came() -> None:
    if predict.guessed(QUESTION) is not None:
        lessons.show_prediction(MOVES, QUESTION)


def _verdict(decay: float, norm: str, relative: bool) -> None:
    """What reproduces, from the stored figures of all bases under the settings chosen."""
    signs = []
    for panel, paper in data.PAPER.items():
        mean, low, high = data.over_bases(panel, decay, norm, relative)
        sign = "sign varies" if low * high <= 0 else "same sign" if mean * paper > 0 else "other sign"
        signs.append(f"{METHODS[panel].label} {mean:+z.2f} ({low:+z.2f} to {high:+z.2f}; paper {paper:+.2f}: {sign})")
    untrained = ""
    if predict.guessed(QUESTION) is not None:
        mean, low, high = data.over_bases("random", decay, norm, relative)
        untrained = f" Untrained random updates: {mean:+z.2f} ({low:+z.2f} to {high:+z.2f})."
    st.markdown(
        f"**What reproduces under these settings**, mean of {len(data.BASES)} base models (lowest to highest): "
        f"{'; '.join(signs)}.{untrained}"
    )
    st.markdown(
        "Even an equal sign may have another reason than the paper's. Adding an update at right angles to a row "
        "lengthens it, learned or not; weight decay shrinks W in full fine-tuning, m in DoRA, but never LoRA's "
        "frozen W. And this is a network of 50 thousand parameters, not VL-BART: nothing here replicates or refutes "
        "the paper's figure."
    )


def _formula(decay: float, base: int, norm: str, relative: bool) -> None:
    st.latex(
        r"\Delta M = \tfrac{1}{N} \sum_n \bigl|\, \lVert w_n' \rVert - \lVert w_n \rVert \,\bigr| \qquad "
        r"\Delta D = \tfrac{1}{N} \sum_n \bigl(1 - \cos(w_n', w_n)\bigr)"
    )
    found = points(stored_lesson(moves.STORED).records, "lora", data.ending(base, decay))[-1]
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

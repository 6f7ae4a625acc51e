"""How low a rank is enough? A teacher of known rank, a real update's spectrum, scaling, loss by rank, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from peftcalc.lab.comparison import interval
from peftcalc.lab.floor import SPECTRA, known_floor
from peftcalc.lab.job import Job
from peftcalc.lab.spectrum import Spectrum
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.methods import LoRA
from peftcalc.plots import rank as plots
from peftcalc.ui import lessons, live, page, show, state
from peftcalc.ui import lessons_rank as data
from peftcalc.ui.lessons_rank import DROPOUT, KNOWN, REAL, SCALING

SLOT = "rank"
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ALPHAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def main() -> None:
    page.open_page(
        "How low a rank is enough?",
        "As low as the change that the task asks for. First a teacher whose rank is known, then "
        "[a real update](#real-update), then [alpha](#scaling) and [dropout](#dropout).",
    )
    known_rank()
    real_update()
    scaling()
    dropout()
    state.link_notes()


def known_rank() -> None:
    st.header("A teacher of known rank", anchor="known-rank")
    lessons.show_presets(KNOWN, "known")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        teacher_rank = state.slider("Rank of the teacher's update", data.TEACHER_RANKS, "k", 4)
        spectrum = state.choice("Its singular values", SPECTRA, "spectrum", "equal")
        st.button(
            "Train LoRA now",
            icon=":material/play_arrow:",
            type="primary",
            width="stretch",
            on_click=_train,
            args=(teacher_rank, spectrum),
        )
        if live.current(SLOT) is not None:
            st.button("Reset", icon=":material/restart_alt:", width="stretch", on_click=live.clear, args=(SLOT,))
    floor = known_floor(teacher_rank, spectrum)
    with result:
        live.watch(SLOT, _look)
        if live.current(SLOT) is None:
            stored = stored_lesson("rank-known")
            losses = data.trained_losses(teacher_rank, spectrum)
            seeds = len(next(iter(losses.values())))
            page.badge("exact", "the line, known before training")
            page.badge("stored run", f"the squares, {seeds} teachers each; {stored.made}")
            _floor_chart(floor, {rank: float(np.mean(values)) for rank, values in losses.items()})
    with st.expander("The formula, with these numbers, and as code"):
        _floor_formula(teacher_rank, spectrum, floor)
    lessons.show_prediction(KNOWN, "known")
    lessons.show_try_this(KNOWN, "known")


def _train(teacher_rank: int, spectrum: str) -> None:
    """LoRA of every rank against one teacher, half of them on each worker."""
    st.session_state["_teacher"] = (teacher_rank, spectrum)
    shared = {"task": "rank", "teacher_rank": teacher_rank, "spectrum": spectrum, "method": "lora", "seed": 0}
    runs = [{**shared, "run": str(rank), "rank": rank, "alpha": 2 * rank} for rank in data.KNOWN_RANKS]
    workers = min(live.queue().workers, len(runs))
    live.submit(SLOT, "finetune", [{"runs": runs[start::workers]} for start in range(workers)])


def _look(job: Job) -> None:
    teacher_rank, spectrum = st.session_state["_teacher"]
    losses = {int(record["run"]): record["loss"] for record in job.records if record.get("loss") is not None}
    page.badge("measured", f"teacher of rank {teacher_rank}, {spectrum} singular values, seed 0")
    _floor_chart(known_floor(teacher_rank, spectrum), losses)


def _floor_chart(floor: np.ndarray, losses: dict[int, float]) -> None:
    line = pd.DataFrame([(rank, floor[rank]) for rank in data.KNOWN_RANKS], columns=["rank", "floor"])
    trained = pd.DataFrame(sorted(losses.items()), columns=["rank", "loss"])
    told = ", ".join(f"rank {rank}: {loss:.3g}" for rank, loss in sorted(losses.items()))
    show.chart(
        plots.floor_chart(line, trained),
        f"Error by rank. Predicted floor: {', '.join(f'rank {r}: {floor[r]:.3g}' for r in data.KNOWN_RANKS)}. "
        f"Trained LoRA: {told or 'nothing yet'}.",
    )
    st.caption("Grey: what no adapter of this rank can pass below (Eckart and Young). Squares: LoRA, trained.")
    show.download_csv(line.merge(trained, on="rank", how="left"), "floor-and-trained")


def _floor_formula(teacher_rank: int, spectrum: str, floor: np.ndarray) -> None:
    st.latex(
        r"\min_{\operatorname{rank}(BA) \le r} \frac{\lVert \Delta W - BA \rVert^2}{\lVert \Delta W \rVert^2} "
        r"= \frac{\sum_{i > r} \sigma_i^2}{\sum_i \sigma_i^2}"
    )
    energies = np.ones(teacher_rank) if spectrum == "equal" else 1 / np.arange(1, teacher_rank + 1)
    half = max(1, teacher_rank // 2)
    st.latex(rf"r = {half}: \quad {energies[half:].sum():.4g} / {energies.sum():.4g} = {floor[half]:.4g}")
    show.code(
        "import peftcalc as pc\nfrom peftcalc.lab.floor import known_floor\n\n"
        f'print(known_floor({teacher_rank}, "{spectrum}"))\n'
        f'*_, last = pc.finetune("rank", pc.LoRA(rank={half}, alpha={2 * half}), teacher_rank={teacher_rank}, '
        f'spectrum="{spectrum}")\nprint(last.loss)',
        "known_rank.py",
    )


@st.fragment
def real_update() -> None:
    st.header("A real update: how low is low-rank?", anchor="real-update")
    lessons.show_presets(REAL, "real")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        task = state.menu("Task", ("digits", "names"), "task", "digits", lambda key: TASKS[key].title)
        rank = state.slider("Energy within rank", data.REAL_RANKS, "within", 4)
    with result:
        page.badge("stored run", f"{stored_lesson('rank-real').made}; spectra of seed 0")
        spectrum, losses = st.columns(2, gap="medium")
        with spectrum:
            _spectrum(task, rank)
        with losses:
            _losses(task)
    lessons.show_try_this(REAL, "real")
    state.link_notes()


def _spectrum(task: str, rank: int) -> None:
    st.subheader("What full fine-tuning changed", anchor=False)
    frame, at_rank = _energies(task), {}
    for kind in ("trained", "random"):
        at_rank[kind] = frame.query("kind == @kind and rank == @rank")["share"].median()
    matrices = frame.query("kind == 'trained'")["matrix"].nunique()
    st.markdown(
        f"Rank {rank} holds **{at_rank['trained']:.0%}** of a matrix's change (median of {matrices} matrices); of a "
        f"random matrix as large it would hold {at_rank['random']:.0%}."
    )
    show.chart(
        plots.energy_chart(frame, rank),
        f"Share of the update's energy within each rank: {at_rank['trained']:.0%} at rank {rank}, "
        f"against {at_rank['random']:.0%} for random matrices.",
    )
    st.caption("Thin: each matrix; thick: their median; dotted: random matrices.")
    show.download_csv(frame, f"energy-{task}")


@st.cache_data(show_spinner=False)
def _energies(task: str) -> pd.DataFrame:
    records = [record for record in stored_lesson("rank-spectrum").records if record["task"] == task]
    largest = max(len(record["singular_values"]) for record in records)
    rows = []
    for record in records:
        for kind, key in (("trained", "singular_values"), ("random", "random")):
            energy = np.ones(largest)  # a smaller matrix is whole at its own largest rank
            energy[: len(record[key])] = Spectrum(np.array(record[key])).energy
            rows += [(record["matrix"], kind, rank, share) for rank, share in enumerate(energy, 1)]
    frame = pd.DataFrame(rows, columns=["matrix", "kind", "rank", "share"])
    trained, random = frame.query("kind == 'trained'"), frame.query("kind == 'random'")
    middle, expected = (part.groupby("rank", as_index=False).agg({"share": "median"}) for part in (trained, random))
    levels = [middle.assign(matrix="median", kind="median"), expected.assign(matrix="random", kind="random")]
    return pd.concat([trained, *levels], ignore_index=True)


def _losses(task: str) -> None:
    st.subheader("What each rank reached", anchor=False)
    losses = data.real_losses(task)
    rows = []
    for rank in data.REAL_RANKS:
        found = interval(losses[str(rank)])
        low, high = found.mean - found.half_width, found.mean + found.half_width
        rows.append({"rank": rank, "mean": found.mean, "low": low, "high": high, "seeds": found.count})
    frame, full = pd.DataFrame(rows), interval(losses["full"])
    gain = interval([low - high for low, high in zip(losses["1"], losses[str(data.REAL_RANKS[-1])], strict=True)])
    sure = "beyond chance at 95 %" if gain.mean > gain.half_width else "which may be chance"
    st.markdown(
        f"Held-out loss {rows[0]['mean']:.3f} at rank 1, {rows[-1]['mean']:.3f} at rank {rows[-1]['rank']}; "
        f"full fine-tuning {full.mean:.3f} (dotted). Paired by seed the gain is "
        f"{gain.mean:.3f} ± {gain.half_width:.3f} (n = {gain.count}), {sure}."
    )
    show.chart(
        plots.loss_chart(frame, full.mean, TASKS[task].unit),
        "Held-out loss by rank: " + ", ".join(f"rank {row['rank']}: {row['mean']:.3f}" for row in rows) + ".",
    )
    st.caption("Bars: 95 % intervals over seeds (Student's t), unpaired. A model of below a million parameters.")
    show.download_csv(frame, f"loss-by-rank-{task}")


@st.fragment
def scaling() -> None:
    st.header("Alpha: how loud the adapter speaks", anchor="scaling")
    lessons.show_presets(SCALING, "scaling")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        alpha = state.slider("Alpha", ALPHAS, "alpha", 16)
        rank = state.slider("Rank", RANKS, "r", 64)
        rslora = state.switch("rsLoRA: α / √r", "rslora")
    method = LoRA(rank=rank, alpha=alpha, rslora=rslora)
    with result:
        page.badge("exact")
        st.metric("Scaling s in W + s · B A", f"{method.scaling:.6g}")
        rows: list[tuple[str, int, float]] = []
        for r in RANKS:
            rows.append(("α / r", r, LoRA(rank=r, alpha=alpha).scaling))
            rows.append(("α / √r", r, LoRA(rank=r, alpha=alpha, rslora=True).scaling))
            rows.append(("α = 2r", r, LoRA(rank=r, alpha=2 * r).scaling))
        frame = pd.DataFrame(rows, columns=["rule", "rank", "scaling"])
        show.chart(
            plots.scaling_chart(frame, rank),
            f"Scaling by rank at alpha {alpha}: α / r falls with the rank, α / √r more slowly, α = 2r stays at 2; "
            f"at rank {rank} it is {method.scaling:.4g}.",
        )
        show.download_csv(frame, "scaling")
    with st.expander("The formula, with these numbers, and as code"):
        st.latex(r"s = \alpha / r \qquad \text{rsLoRA: } s = \alpha / \sqrt{r}")
        root = rf"\sqrt{{{rank}}}" if rslora else str(rank)
        st.latex(rf"s = {alpha} / {root} = {method.scaling:.6g}")
        show.code(method.to_code(), "scaling.py")
        st.caption("LoRA arXiv:2106.09685, 4.1; QLoRA arXiv:2305.14314 (α = 16, r = 64); rsLoRA arXiv:2312.03732.")
    lessons.show_try_this(SCALING, "scaling")
    state.link_notes()


@st.fragment
def dropout() -> None:
    st.header("Dropout: against learning by heart", anchor="dropout")
    controls, result = st.columns([1, 3], gap="large")
    with controls:
        chosen = state.several("Dropout", data.DROPOUT_RATES, "dropouts", list(data.DROPOUT_RATES), "{:g}".format)
        st.markdown("The QLoRA paper uses 0.1 for models of 7 to 13 billion parameters, 0.05 for 33 to 65 billion.")
    with result:
        stored = stored_lesson("rank-dropout")
        page.badge("stored run", stored.made)
        frame = _dropout_frame(stored.records)
        highest = 1.05 * frame["loss"].to_numpy().max()
        rates = [rate for rate in data.DROPOUT_RATES if rate in chosen] or list(data.DROPOUT_RATES)
        for column, rate in zip(st.columns(len(rates)), rates, strict=True):
            with column:
                training, held_out = (data.dropout_end(rate, what) for what in ("training", "validation"))
                st.markdown(f"**Dropout {rate:g}**: training {training:.2f}, held out {held_out:.2f}")
                show.chart(
                    plots.dropout_chart(frame.query("dropout == @rate"), highest),
                    f"Dropout {rate:g}: training loss ends at {training:.2f}, held-out loss at {held_out:.2f}.",
                )
        seeds = len({record["seed"] for record in stored.records})
        start = next(record["validation"] for record in stored.records if record["step"] == 0)
        worse = sum(data.dropout_end(rate, "validation") > start for rate in data.DROPOUT_RATES)
        st.caption(
            f"LoRA of rank 16 on 82 Finnish city names, {data.DROPOUT_STEPS} steps, mean of {seeds} seeds; training "
            "loss with dropout on, mean of ten batches, so it is also higher by the noise. The base starts at "
            f"{start:.2f}: {worse} of {len(data.DROPOUT_RATES)} rates end worse on new "
            "names, dropout or not. All panels share their axes."
        )
        show.download_csv(frame, "dropout")
    with st.expander("The formula, with these numbers, and as code"):
        rate = rates[-1]
        st.latex(r"W x + s \cdot B A\, \frac{x \odot z}{1 - p}, \qquad z_i \sim \text{Bernoulli}(1 - p)")
        st.latex(rf"p = {rate:g}: \quad \tfrac{{1}}{{1 - p}} = {1 / (1 - rate):.4g}")
        show.code(
            f"import peftcalc as pc\n\nmethod = pc.LoRA(rank=16, alpha=32, dropout={rate:g})\n"
            f'run = pc.finetune("names:Finland", method, steps={data.DROPOUT_STEPS})\n'
            "for record in run:\n    print(record.step, record.loss, record.validation)",
            "dropout.py",
        )
    lessons.show_try_this(DROPOUT, "dropout")
    state.link_notes()


def _dropout_frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Means over seeds, one row a rate, curve and step."""
    means = {"training": "mean", "validation": "mean"}
    frame = pd.DataFrame(records).groupby(["dropout", "step"], as_index=False).agg(means)
    frame = frame.rename(columns={"validation": "held out"})
    return frame.melt(["dropout", "step"], ["training", "held out"], "curve", "loss")


main()

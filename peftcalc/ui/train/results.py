"""A race that is through, or was cut off: the comparison with intervals, and what can be taken away."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import streamlit as st

from peftcalc.jobs.job import Job
from peftcalc.lab.race_results import RaceResults
from peftcalc.plots.work import curves_asked
from peftcalc.ui import page, show
from peftcalc.ui.components.weights import METRICS

COLUMNS = {
    "method": "Method",
    "settings": "Settings",
    "trainable": "Trained numbers",
    "before": "Loss before",
    "validation": "Held-out loss",
    "half_width": "± 95 %",
    "seconds": "Time, s",
    "peak_bytes": "Peak, bytes",
    "seeds": "Seeds",
    **{name: label.capitalize() for name, label in METRICS.items()},
}
FORMATS = {
    "Trained numbers": "localized",
    "Peak, bytes": "localized",
    "Loss before": "%.4g",
    "Held-out loss": "%.3g",
    "± 95 %": "%.2g",
    "Time, s": "%.2f",
}
METRICS_EXPLAINED = {
    "judged": "**sounds right**: share of 200 drawn names that a classifier of letters takes for names of the country",
    "copied": "**copied**: share that stands in the training names, letter by letter",
    "accuracy": "**read rightly**: share of the 500 held-out images",
}


def note(text: str) -> None:
    """Small print in the colour of the text: a caption's grey is too pale to be read by everybody (WCAG 2.1, 1.4.3)."""
    st.markdown(f":small[{text}]")


def results(board: RaceResults, job: Job | None = None) -> None:
    """After the race: the comparison with intervals, records, adapters, figures and code."""
    race = board.race
    st.subheader("The comparison", anchor=False)
    if board.too_early:
        st.info(
            "This run was cut off before its methods were measured on held-out data a second time: there is nothing "
            "to compare yet.",
            icon=":material/balance:",
        )
        _take_away(board, job)
        return
    comparison = board.comparison()
    _diverged(board)
    if not board.complete:
        st.info(
            f"This run was cut off: all methods are compared at step {board.common_step}, the last at which each of "
            "them was measured on held-out data.",
            icon=":material/balance:",
        )
    hidden = ("half_width",) if len(race.seeds) == 1 else ()
    if hidden:
        note("One seed: small differences between methods may be chance. Ask for three seeds or more to see intervals.")
    named = [
        {COLUMNS.get(name, name): value for name, value in row.items() if name not in hidden}
        for row in comparison.summary_rows()
    ]
    show.table(named, f"comparison-{race.task}", f"Results of each method on the task {race.task}", True, **FORMATS)
    explained = [METRICS_EXPLAINED[name] for name in comparison.runs[0].metrics if name in METRICS_EXPLAINED]
    if explained:
        note("; ".join(explained) + ".")
    if len(race.seeds) > 1 and len(race.methods) > 1:
        _paired(board)
    _take_away(board, job)


def _diverged(board: RaceResults) -> None:
    for track in board.tracks.values():
        if track.last is not None and track.last.stopped:
            sentence = f"{track.label}, seed {track.seed}, {track.last.stopped}."
            st.warning(page.escape(sentence), icon=":material/trending_up:")


def _paired(board: RaceResults) -> None:
    """Differences within each seed against the first method."""
    comparison, (first, *others) = board.comparison(), [board.race.method(name) for name in board.race.methods]
    lines = []
    for other in others:
        found = comparison.paired(other, first)
        difference = found.difference
        sure = math.isfinite(difference.half_width) and abs(difference.mean) > difference.half_width
        verdict = "beyond chance at 95 %" if sure else "may be chance"
        lines.append(
            f"- {other.label} − {first.label}: **{difference.mean:+z.4f} ± {difference.half_width:.4f}**, "
            f"lower in {found.better} of {difference.count} seeds; {verdict}"
        )
    st.markdown("Held-out loss, paired by seed (negative is better):\n" + "\n".join(lines))


def _take_away(board: RaceResults, job: Job | None) -> None:
    race = board.race
    name = f"race-{race.task}"
    with st.expander("Take it away: records, figure, adapters, code"):
        with st.container(horizontal=True, gap="small"):
            _download("Records, CSV", lambda: board.frame().to_csv(index=False), f"{name}.csv", "text/csv")
            _download("Records, JSON", lambda: _as_json(board), f"{name}.json", "application/json")
            png, svg = (show.drawn_file(lambda: _curves(board), kind) for kind in ("png", "svg"))
            _download("Figure, PNG", png, f"{name}.png", "image/png", show.DRAWN_ELSEWHERE)
            _download("Figure, SVG", svg, f"{name}.svg", "image/svg+xml", show.DRAWN_ELSEWHERE)
        if job is not None:
            _adapters(board, job.folder)
        show.code(race.to_code(), f"{name}.py")
        note("One run alone, step by step:")
        show.code(race.settings(race.methods[-1], race.seeds[0]).to_code(), f"{name}-one-run.py")


def _curves(board: RaceResults) -> dict[str, Any]:
    return {"figure": "curves", **curves_asked(board)}


def _as_json(board: RaceResults) -> str:
    return json.dumps({"race": board.race.as_dict(), "records": board.rows()}, indent=1)


def _adapters(board: RaceResults, folder: Path) -> None:
    files = [(track, folder / f"{track.name}.zip") for track in board.tracks.values()]
    there = [(track, file) for track, file in files if file.exists()]
    if not there:
        return
    note("Adapters in peft's file format, each with its weights and adapter_config.json:")
    with st.container(horizontal=True, gap="small"):
        for track, file in there:
            _download(f"{track.label}, seed {track.seed}", file.read_bytes, file.name, "application/zip")


def _download(label: str, content, name: str, mime: str, tip: str | None = None) -> None:
    """A button whose file is made when it is asked for."""
    st.download_button(
        label, content, name, mime, on_click="ignore", icon=":material/download:", key=f"take-{name}", help=tip
    )

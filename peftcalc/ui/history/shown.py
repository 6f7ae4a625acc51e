"""A kept race or sweep on a page again: by the id in the link, or from the list of what this server keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import streamlit as st

from peftcalc import units
from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import KeptRun
from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.runs.kept_race import RACE
from peftcalc.lab.sweeps.kept_sweep import SWEEP, results_of
from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.ui import page
from peftcalc.ui.history.keeper import keeper

KEY = "run"
"""Of the link."""
LISTED = 50


@dataclass(frozen=True)
class KeptRace:
    """A kept race, read again."""

    run: KeptRun
    board: RaceResults

    @property
    def status(self) -> str:
        """One line below its picture."""
        return f"kept run: {self.run.title}, {units.moment(self.run.begun)}"


@dataclass(frozen=True)
class KeptSweep:
    """A kept sweep or comparison, read again."""

    run: KeptRun
    results: SweepResults

    @property
    def status(self) -> str:
        """One line above its picture."""
        return f"kept run: {self.run.title}, {units.moment(self.run.begun)}"


def kept_race() -> KeptRace | None:
    """The race that the link names; None without one, or where it cannot be shown (`note` says why)."""
    found = _shown()
    return found if isinstance(found, KeptRace) else None


def kept_sweep() -> KeptSweep | None:
    """The sweep that the link names, in the same way."""
    found = _shown()
    return found if isinstance(found, KeptSweep) else None


def note() -> None:
    """Why the run that the link names cannot be shown; nothing where it can."""
    try:
        _asked_for()
    except ValueError as error:
        st.info(page.escape(f"The run of this link cannot be shown. {error}"), icon=":material/link_off:")


def _shown() -> KeptRace | KeptSweep | None:
    try:
        return _asked_for()
    except ValueError:
        return None


def _asked_for() -> KeptRace | KeptSweep | None:
    name, history = st.query_params.get(KEY), keeper().history
    if not name:
        return None
    if history is None:
        raise ValueError("This server keeps no runs.")
    run = history.run(name[:40])
    if run.kind not in (RACE, SWEEP):
        raise ValueError(f"run must be a race or a sweep, got a {run.kind}")
    read = {RACE: _race, SWEEP: _sweep}[run.kind]
    return (read if run.ended is not None else read.__wrapped__)(history, run.id)


@lru_cache(maxsize=16)
def _race(history: History, name: str) -> KeptRace:
    run = history.run(name)
    try:
        board = RaceResults(Race.from_dict(run.settings))
        board.read(history.records(run.id))
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"It was written by another version of peftcalc ({error!r}).") from None
    if not any(track.looks for track in board.tracks.values()):
        raise ValueError("It ended before anything was measured.")
    return KeptRace(run, board)


@lru_cache(maxsize=16)
def _sweep(history: History, name: str) -> KeptSweep:
    run = history.run(name)
    return KeptSweep(run, results_of(run.settings, run.results, lambda: history.records(name)))


def forget_link() -> None:
    """A run of one's own begins: the link names no other's any more."""
    st.query_params.pop(KEY, None)


def section() -> None:
    """What this server keeps, the newest first, each with the link that shows it again; no names, no own texts."""
    history = keeper().history
    if history is None:
        st.markdown(
            "This server keeps no runs: `PEFTCALC_HISTORY` is off. With a file there, or unset, it would keep them."
        )
        return
    if history.problem:
        st.warning(page.escape(history.problem), icon=":material/database_off:")
    with page.errors_as_sentences():
        runs = history.runs(LISTED)
        if not runs:
            st.markdown("Nothing is kept yet: the first run appears here as soon as it begins.")
        else:
            st.dataframe(
                [_row(run) for run in runs],
                hide_index=True,
                column_config={"Open": st.column_config.LinkColumn(display_text="Show it")},
                alt="Kept runs, the newest first",
                key="kept-runs",
            )
        st.markdown(
            ":small[Every visitor of this server sees this list: settings and curves, no names, and nothing that was "
            "pasted. `python -m peftcalc history` lists, exports and prunes it.]"
        )


def _row(run: KeptRun) -> dict[str, str | float | None]:
    best = min((one["validation"] for one in run.results if one.get("validation") is not None), default=None)
    return {
        "When": units.moment(run.begun),
        "Run": run.title,
        "How it ended": run.state,
        "Time": units.seconds(run.ended - run.begun) if run.ended is not None else "",
        "Best held-out loss": best,
        "From": run.source,
        "Open": run.link or None,
    }

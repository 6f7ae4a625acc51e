"""Runs of a claim that a visitor starts: planned by seed, trained stacked in the workers, drawn while they come.

A map of the first seed is there before the last seed begins, so its points come early and get their intervals later.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from peftcalc.jobs.classroom.names import ROOM_VARIABLE
from peftcalc.jobs.job import Job
from peftcalc.ui import live, page, state
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.points import Point, point
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import predict
from peftcalc.ui.lessons.lesson import Lesson

MOST_IN_CLASS = 2
"""Seeds, where thirty may ask at once."""
WIDE = 32
"""Lower ranks are padded to the highest of their stack: from this rank on they have a stack of their own."""


@dataclass(frozen=True)
class Planned:
    """One run: where its point stands, and what is trained."""

    series: str
    x: float
    seed: int
    arguments: Mapping[str, Any]
    """Of `peftcalc.finetune`, the method as name, its options beside it."""


@dataclass(frozen=True)
class LiveClaim:
    """What a visitor can run of a claim.

    Args:
        slot: its name.
        runs: those of one seed.
        measure: of a look at a run, the number that is drawn.
        seconds: that a seed takes two free workers, roughly.
        seeds: how many may be asked for; in a class at most two.
    """

    slot: str
    runs: Callable[[int], Sequence[Planned]]
    measure: Callable[[Mapping[str, Any]], float | None]
    seconds: float
    seeds: tuple[int, ...] = (1, 2, 4, 10)

    def controls(self) -> None:
        """How many seeds, and the button; in a class few."""
        offered = tuple(seeds for seeds in self.seeds if seeds <= (MOST_IN_CLASS if in_class() else max(self.seeds)))
        seeds = state.slider("Seeds of your own run", offered, "seeds", offered[min(2, len(offered) - 1)])
        count = seeds * len(self.runs(0))
        live.train_button(self.slot, f"Run {count} trainings now", self.start, (seeds,))
        wait = "; thirty at once take turns, and the line says how long" if in_class() else ""
        st.caption(f"About {self.seconds * seeds:.0f} s on two free cores{wait}. You can stop it.")

    def start(self, seeds: int) -> None:
        """Seeds are dealt out to the workers; a single one is shared."""
        plan = [planned for seed in range(seeds) for planned in self.runs(seed)]
        st.session_state[_plan(self.slot)] = plan
        live.submit(self.slot, "stacked", [{"groups": groups} for groups in _dealt(plan, live.queue().workers)])

    def rows(self, job: Job) -> list[dict[str, Any]]:
        """A row for each point that has come: the mean over the seeds that are there, and their interval."""
        plan: list[Planned] = st.session_state[_plan(self.slot)]
        return point_rows(plan, job.records, self.measure)

    def told(self, job: Job) -> None:
        """How many runs have come to their ends, and what they are."""
        plan: list[Planned] = st.session_state[_plan(self.slot)]
        ended = {record["run"] for record in job.records if ended_run(record, plan)}
        seeds = len({planned.seed for planned in plan})
        page.badge("measured", f"{len(ended)} of {len(plan)} runs, {seeds} {'seed' if seeds == 1 else 'seeds'}")


def section(
    name: str,
    key: str,
    lesson: Lesson,
    claim: LiveClaim,
    stored: Callable[[bool], Sequence[Point]],
    known: Callable[[Point], bool],
    draw: Callable[[Sequence[Point]], None],
) -> bool:
    """A claim beside its picture, which is the visitor's own run where there is one, and stored runs otherwise.

    Args:
        name: of the claim.
        key: of the lesson's section.
        stored: points of the stored runs; before the guess those that give nothing away.
        known: whether a point of one's own run gives nothing away.
        draw: the picture.

    Returns:
        Whether the visitor has guessed.
    """

    def look(job: Job) -> None:
        claim.told(job)
        draw([one for one in claim.rows(job) if predict.guessed(key) is not None or known(one)])

    controls, result = page.controls_and_result(key)
    with result:
        guessed = lessons.show_prediction(lesson, key)
    with controls:
        frame.claimed(name, guessed)
        claim.controls()
    with result:
        live.watch(claim.slot, look)
        if live.current(claim.slot) is None:
            if guessed:
                frame.badge(name)
            else:
                frame.until(name)
            draw(stored(guessed))
    return guessed


def in_class() -> bool:
    """Whether this server leads a class."""
    return bool(os.environ.get(ROOM_VARIABLE))


def point_rows(
    plan: Sequence[Planned],
    records: Iterable[Mapping[str, Any]],
    measure: Callable[[Mapping[str, Any]], float | None],
) -> list[dict[str, Any]]:
    """The latest look at each run, its seeds together.

    >>> plan = [Planned("full", 0.1, seed, {}) for seed in range(2)]
    >>> told = [{"run": "0", "validation": 2.0}, {"run": "0", "validation": 1.0}, {"run": "1", "validation": 3.0}]
    >>> [(row["mean"], row["seeds"]) for row in point_rows(plan, told, lambda look: look["validation"])]
    [(2.0, 2)]
    """
    latest: dict[int, float] = {}
    for record in records:
        place, value = int(record["run"]), None if record.get("stopped") else measure(record)
        latest[place] = math.inf if value is None else value
    found: dict[tuple[str, float], list[float]] = {}
    for place, value in sorted(latest.items()):
        found.setdefault((plan[place].series, plan[place].x), []).append(value)
    return [point(series, x, values) for (series, x), values in found.items() if all(map(math.isfinite, values))]


def ended_run(record: Mapping[str, Any], plan: Sequence[Planned]) -> bool:
    """Whether this is the last that the run tells."""
    return bool(record.get("stopped")) or record["step"] == plan[int(record["run"])].arguments["steps"]


def _dealt(plan: Sequence[Planned], workers: int) -> list[list[list[dict[str, Any]]]]:
    """What each worker trains, group by group: whole seeds, or of a single seed the narrow and the wide ranks."""
    groups: dict[tuple[int, bool], list[dict[str, Any]]] = {}
    for place, planned in enumerate(plan):
        wide = int(planned.arguments.get("rank", 0)) >= WIDE
        run = {**planned.arguments, "seed": planned.seed, "run": str(place)}
        groups.setdefault((planned.seed, wide), []).append(run)
    whole_seeds = len({seed for seed, _ in groups}) > 1
    dealt: list[list[list[dict[str, Any]]]] = [[] for _ in range(max(1, workers))]
    for place, ((seed, _), group) in enumerate(groups.items()):
        dealt[(seed if whole_seeds else place) % len(dealt)].append(group)
    return [some for some in dealt if some]


def _plan(slot: str) -> str:
    return f"_plan_{slot}"

"""When is a rank too small? Random labels, learned by heart: what a rank has room for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from peftcalc.jobs.job import Job
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.plots.findings.curves import capacity_chart
from peftcalc.ui import live, page, show
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.live_runs import LiveClaim, Planned
from peftcalc.ui.findings.points import Point, Row, points
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons import predict
from peftcalc.ui.lessons.findings.rates import CAPACITY, HEART_RANKS

NAME = "capacity"
IMAGES = (160, 640, 1280)
LIVE_STEPS = 600
FULL_AT = 64
"""Where full fine-tuning stands on the axis of ranks: the matrices are 64 × 64."""
CODE = """\
from peftcalc.lab.sweeps.maps import capacity_map

for cell in capacity_map(seeds=2):  # ranks 1, 2, 8 and full fine-tuning; 160, 640 and 1,280 images
    print(cell.label, cell.metrics["accuracy"])
"""


def _series(images: float) -> str:
    return f"{images:,.0f} images"


def _runs(seed: int) -> list[Planned]:
    found = []
    for images in IMAGES:
        for rank in (*HEART_RANKS, 0):
            method: dict[str, Any] = {"method": "lora", "rank": rank} if rank else {"method": "full"}
            settings = {"task": "labels", "steps": LIVE_STEPS, "evaluations": 4, "images": images}
            found.append(Planned(_series(images), rank or FULL_AT, seed, {**method, **settings}))
    return found


LIVE = LiveClaim("capacity", _runs, lambda look: look["metrics"].get("accuracy"), 9.0, (1, 2, 4))


@lessons.taught(CAPACITY, "capacity")
def capacity() -> None:
    controls, result = page.controls_and_result("capacity")
    with result:
        guessed = lessons.show_prediction(CAPACITY, "capacity")
    with controls:
        frame.claimed(NAME, guessed)
        LIVE.controls()
    with result:
        live.watch(LIVE.slot, _look)
        if live.current(LIVE.slot) is None:
            if guessed:
                frame.badge(NAME)
            _draw(_stored(guessed))
    if guessed:
        frame.runs(NAME, CODE)


def _look(job: Job) -> None:
    guessed = predict.guessed("capacity") is not None
    LIVE.told(job)
    _draw([one for one in LIVE.rows(job) if guessed or one["series"] == _series(IMAGES[0])])


@functools.lru_cache(maxsize=2)
def _stored(guessed: bool) -> tuple[Point, ...]:
    """The fewest images alone before the guess."""
    rows: list[Row] = [
        {**row, "at": row["rank"] or FULL_AT}
        for row in stored_finding(NAME).rows
        if guessed or row["images"] == IMAGES[0]
    ]
    return tuple(points(rows, lambda row: _series(row["images"]), "at", "accuracy"))


def _draw(found: Sequence[Point]) -> None:
    told = "; ".join(f"{one['series']}, {_rank(one['x'])}: {one['mean']:.0%}" for one in found)
    show.chart(capacity_chart(found, FULL_AT), f"Share of random labels learned by heart: {told or 'nothing yet'}.")


def _rank(x: float) -> str:
    return "full" if x == FULL_AT else f"rank {x:g}"

"""When is a rank too small? Random labels, learned by heart: what a rank has room for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from peftcalc.lab.findings.stored import stored_finding
from peftcalc.plots.findings.curves import capacity_chart
from peftcalc.ui import show
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.live_runs import LiveClaim, Planned, section
from peftcalc.ui.findings.points import Point, Row, points
from peftcalc.ui.lessons import lesson as lessons
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
    if section(NAME, "capacity", CAPACITY, LIVE, _stored, lambda one: one["series"] == _series(IMAGES[0]), _draw):
        frame.runs(NAME, CODE)


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

"""Which learning rate? The U of held-out loss over the rate, for full fine-tuning and LoRA of four ranks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from peftcalc.lab.findings.stored import stored_finding
from peftcalc.plots.findings.curves import FULL, rates_chart
from peftcalc.ui import show
from peftcalc.ui.findings import frame
from peftcalc.ui.findings.live_runs import LiveClaim, Planned, section
from peftcalc.ui.findings.points import Point, by_rank, lowest, points
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.findings.rates import RATE_RANKS, RATES

NAME, LARGE = "learning-rate", "smollm2-learning-rate"
LIVE_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
UNIT = "cross-entropy"
ASKED = "? Here come LoRA's curves:\nwhich rank is best further right?"
CODE = """\
import peftcalc as pc
from peftcalc.lab.sweeps.maps import rate_map

for cell in rate_map(seeds=4):  # full fine-tuning and ranks 1, 4, 16, 64 at five rates: 100 runs
    print(cell.label, cell.validation)
"""


def _runs(seed: int) -> list[Planned]:
    """Full fine-tuning and the ranks at five rates; α stays 16."""
    found = []
    for rank in (0, *RATE_RANKS):
        method: dict[str, Any] = {"method": "lora", "rank": rank, "alpha": 16} if rank else {"method": "full"}
        series = by_rank({"method": method["method"], "rank": rank})
        for rate in LIVE_RATES:
            settings = {"task": "digits", "steps": 200, "evaluations": 4, "learning_rate": rate}
            found.append(Planned(series, rate, seed, {**method, **settings}))
    return found


LIVE = LiveClaim("rates", _runs, lambda look: look.get("validation"), 5.0)


@lessons.taught(RATES, "rates")
def learning_rate() -> None:
    if section(NAME, "rates", RATES, LIVE, _stored, lambda one: one["series"] == FULL, _draw):
        if frame.there(LARGE):
            found = points(stored_finding("smollm2-rates").rows, by_rank, "learning_rate", "validation")
            frame.large(LARGE, rates_chart(found, "nats a token"), f"Loss of SmolLM2 over the rate: {_told(found)}.")
        frame.runs(NAME, CODE, (NAME, "smollm2-rates"))


@functools.lru_cache(maxsize=2)
def _stored(guessed: bool) -> tuple[Point, ...]:
    """Full fine-tuning alone before the guess."""
    rows = [row for row in stored_finding(NAME).rows if guessed or row["method"] == "full"]
    return tuple(points(rows, by_rank, "learning_rate", "validation"))


def _draw(found: Sequence[Point]) -> None:
    asked = "" if any(one["series"] != FULL for one in found) else ASKED
    show.chart(rates_chart(found, UNIT, asked), f"Held-out loss over the learning rate: {_told(found)}.")


def _told(found: Sequence[Point]) -> str:
    each = [f"{name} lowest at {one['x']:.2g} with {one['mean']:.3g}" for name, one in lowest(found).items()]
    return "; ".join(each) or "nothing yet"

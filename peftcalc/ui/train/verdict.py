"""What a race comes to, in one line: who has learned the task, and who has not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.methods import METHODS
from peftcalc.plots.training import falls_far
from peftcalc.ui.headline import names

LEARNED = 0.01
"""Of the error of a task that can be learned to the end: the share that may be left."""
WATCH = "Watch: the loss falls, and the weights move."
TOO_EARLY = "Cut off too early to say who learns it: let it run longer."
NOW = {"learn": "learn", "learns": "learns", "do": "do", "does": "does", "falls": "falls", "stays": "stays"}
EARLIER = {"learn": "learned", "learns": "learned", "do": "did", "does": "did", "falls": "fell", "stays": "stayed"}
"""Verbs, of what a visitor has just seen and of what is a record."""


def said(board: RaceResults, earlier: bool = False) -> str:
    """The line as HTML, each name in its method's colour; held-out losses, means over seeds.

    Args:
        board: of the race.
        earlier: of a run that the visitor has not made: what happened in it.

    >>> from peftcalc.lab.race import Race
    >>> board = RaceResults(Race(task="magnitude", methods=("lora",)))
    >>> board.read([{"run": "lora-0", "step": at, "steps": 9, "loss": 1, "validation": 1 - at / 30} for at in (0, 9)])
    >>> said(board)
    '<b style="color:#2f7ed8">LoRA</b> does not learn it: 70 % of the error stays.'
    >>> said(board, earlier=True)
    '<b style="color:#2f7ed8">LoRA</b> did not learn it: 70 % of the error stayed.'
    """
    if board.too_early:
        return TOO_EARLY
    losses = {name: (_mean(board, name, "before"), _mean(board, name, "now")) for name in board.race.methods}
    known = {name: pair for name, pair in losses.items() if not math.isnan(pair[1])}
    far = falls_far(TASKS[board.race.task].unit)
    there = [name for name, (before, now) in known.items() if (now <= LEARNED * before if far else now < before)]
    short = [name for name in known if name not in there]
    tense = EARLIER if earlier else NOW
    lines = []
    if there:
        falls = ""
        if not far:
            first, last = ([known[name][at] for name in there] for at in (0, 1))
            falls = f": a held-out loss of {_span(first)} {tense['falls']} to {_span(last)}"
        lines.append(f"{names(there)} {tense['learns' if len(there) == 1 else 'learn']} it{falls}.")
    if short:
        left = [100 * known[name][1] for name in short if math.isfinite(known[name][1])]
        kept = f": {_span(left, '.0f')} % of the error {tense['stays']}" if far and left else ""
        what = "" if there else " learn it"
        if len(short) == len(METHODS):
            lines.append(f"None of the five {tense['learns']} it{kept}.")
        else:
            lines.append(f"{names(short)} {tense['does' if len(short) == 1 else 'do']} not{what}{kept}.")
    return " ".join(lines) or WATCH


def marked(mark: str, line: str) -> str:
    """The line with a mark before it that says what the picture below is."""
    return f'<span class="mark">{mark}</span> {line}'


def _span(values: Iterable[float], form: str = ".2g") -> str:
    """From the lowest to the highest."""
    low, *_, high = (f"{value:{form}}" for value in sorted([*values] * 2))
    return low if low == high else f"{low} to {high}"


def _mean(board: RaceResults, method: str, what: str) -> float:
    values = [getattr(track, what) for track in board.of(method)]
    return statistics.fmean(values) if values else math.nan

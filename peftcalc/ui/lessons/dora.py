"""What the DoRA page teaches with."""

from __future__ import annotations

import functools
import statistics
from typing import Any

import numpy as np

from peftcalc.geometry.direction import decompose, pure_turning
from peftcalc.geometry.magnitude_direction_plane import neurons, spread
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.plots.direction import START, moved_row
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

KNOCK_OUT_RANKS = (1, 2, 4, 8, 16, 32)
KNOCK_OUT_TEACHERS = ("magnitude", "direction", "rank")
DECAYS = (0.0, 0.3)
BASES = (0, 1, 2, 3)
RATES = {"full": 1e-3, "lora": 1e-2, "dora": 1e-2}
"""Learning rates of the runs whose matrices are watched; full fine-tuning's is the gentler of two that learn."""
PAPER = {"full": -0.62, "lora": 0.83, "dora": -0.31}
"""Correlation of ΔD and ΔM that the DoRA paper reports (VL-BART, query and value matrices; section 3.2, figure 2)."""


def move_runs(weight_decay: float, seed: int, rank: int = 4, rows: bool = False) -> list[dict[str, Any]]:
    """The three runs on the digits turned by 90° whose matrices are watched.

    >>> [run["run"] for run in move_runs(0.3, seed=0)]
    ['full-0-0.3', 'lora-0-0.3', 'dora-0-0.3']
    """
    return [
        {
            "run": f"{method}-{ending(seed, weight_decay)}",
            "task": "digits",
            "method": method,
            "rank": rank,
            "alpha": 2 * rank,
            "seed": seed,
            "weight_decay": weight_decay,
            "learning_rate": rate,
            "rows": rows,
        }
        for method, rate in RATES.items()
    ]


def ending(seed: int, weight_decay: float) -> str:
    """What follows the method in the name of a run."""
    return f"{seed}-{weight_decay:g}"


@functools.lru_cache(maxsize=64)
def over_bases(
    panel: str, weight_decay: float, norm: str = "row", relative: bool = False
) -> tuple[float, float, float]:
    """From the stored run: mean, lowest and highest correlation of ΔD and ΔM over the base models."""
    endings = [ending(seed, weight_decay) for seed in BASES]
    return spread(stored_lesson("dora-moves").records, panel, endings, norm, relative)


@functools.lru_cache(maxsize=4)
def knock_out(task: str) -> dict[tuple[str, int], float]:
    """From the stored run: mean loss over seeds by method and rank."""
    found: dict[tuple[str, int], list[float]] = {}
    for record in stored_lesson("dora-knockout").records:
        if record["task"] == task:
            found.setdefault((record["method"], record["rank"]), []).append(record["validation"])
    return {key: statistics.fmean(values) for key, values in found.items()}


def _neuron_correlation(panel: str) -> float:
    found = neurons(stored_lesson("dora-moves").records, panel, ending(0, 0.0))
    return float(np.corrcoef([p["turn"] for p in found], [p["length"] for p in found])[0, 1])


def _growth_at_right_angle(turn: float) -> float:
    """How much longer a row is that an update at right angles to it has turned by so many degrees."""
    sideways = np.array([-START[1], START[0]]) * np.tan(np.radians(turn))
    return float(decompose([START], [START + sideways]).relative_lengths[0])


def moved_to(turn: float, stretch: float) -> dict[str, float]:
    """The state of the arrow's view: the row turned by so many degrees, and so many times as long.

    >>> moved_to(0, 2)
    {'x': 2.8, 'y': 1.0}
    """
    x, y = moved_row(turn, stretch).tolist()
    return {"x": round(x, 6), "y": round(y, 6)}


ARROW = Lesson(
    notebook="04_dora",
    presets=(
        Preset("Only the length", {"arrow": moved_to(0, 1.75)}),
        Preset("Only the direction", {"arrow": moved_to(45, 1.0)}),
        Preset("A push at a right angle", {"arrow": moved_to(60, 2.0)}),
        Preset("A climb to a summit", {"arrow": {**moved_to(0, 1.0), "climb": 1}}),
    ),
    try_this=(
        TryThis(
            "Turn the row by 60° with an update at right angles to it.",
            {"arrow": moved_to(0, 1.0)},
            "How long does it become?",
            "Twice as long: 1/cos 60° = 2. Whoever can only add, and adds at right angles, also makes rows longer.",
            lambda: abs(_growth_at_right_angle(60) - 1) < 1e-9 and abs(float(pure_turning(0.5)) - 1) < 1e-9,
        ),
        TryThis(
            "Double the length and keep the direction.",
            {"arrow": moved_to(0, 1.0)},
            "What is ΔD?",
            "Zero: only m moved. DoRA needs one number for it, LoRA an arrow along W.",
            lambda: (
                decompose([START], [moved_row(0, 2.0)]).direction_change < 1e-12
                and decompose([START], [moved_row(0, 2.0)]).magnitude_change > 1
            ),
        ),
    ),
)

MOVES = Lesson(
    notebook="04_dora",
    presets=(
        Preset("As in the paper: rows, absolute", {"decay": 0.0, "norm": "row", "relative": False, "base": 0}),
        Preset("Weight decay 0.3", {"decay": 0.3, "norm": "row", "relative": False, "base": 0}),
        Preset("Columns, relative", {"decay": 0.0, "norm": "column", "relative": True, "base": 0}),
    ),
    prediction=Prediction(
        "A random update as large as LoRA's, that nobody trained: is its ΔM correlated with its ΔD?",
        ("Not at all", "Weakly (r below 0.5)", "Strongly (r above 0.5)"),
        lambda: (
            "Strongly (r above 0.5)"
            if over_bases("random", 0.0)[0] > 0.5
            else "Weakly (r below 0.5)"
            if over_bases("random", 0.0)[0] > 0.1
            else "Not at all"
        ),
        "An update nearly at right angles to a row turns it and makes it longer at once. So a high correlation "
        "alone says little about what was learned: compare every panel with the random one.",
    ),
    try_this=(
        TryThis(
            "Compare LoRA's panel with the random one, for each of the four base models.",
            {"decay": 0.0, "norm": "row", "relative": False, "base": 0},
            "Is LoRA's strong positive correlation a sign of what it learned?",
            "Hardly: both lie above 0.7 for every base. It is mostly geometry. DoRA, whose lengths are free, differs.",
            lambda: (
                over_bases("lora", 0.0)[1] > 0.7
                and over_bases("random", 0.0)[1] > 0.7
                and over_bases("dora", 0.0)[2] < 0.7
            ),
        ),
        TryThis(
            "Switch the weight decay to 0.3.",
            {"decay": 0.3, "norm": "row", "relative": False, "base": 0},
            "Which method's correlation falls, though task and steps are the same?",
            "Full fine-tuning's: decay shrinks W itself. In LoRA it acts on A and B only, never on the frozen "
            "weight, and its correlation stays.",
            lambda: (
                over_bases("full", 0.0)[0] - over_bases("full", 0.3)[0] > 0.3
                and abs(over_bases("lora", 0.0)[0] - over_bases("lora", 0.3)[0]) < 0.1
            ),
        ),
    ),
)

NEURONS = Lesson(
    notebook="04_dora",
    try_this=(
        TryThis(
            "Look at the dots beside the dashed curve, without weight decay.",
            {"decay": 0.0},
            "Whose neurons follow it, and whose do not?",
            "LoRA's do, as the random update's do; DoRA's hardly: r above 0.5 against below 0.3.",
            lambda: _neuron_correlation("lora") > 0.5 > 0.3 > _neuron_correlation("dora"),
        ),
    ),
)

_MEETS = ("From rank 1 on, as DoRA", "From a rank between 2 and 32 on", "At none up to 32")

KNOCK_OUT = Lesson(
    presets=(
        Preset("Only lengths change", {"teacher": "magnitude"}),
        Preset("Only directions change", {"teacher": "direction"}),
        Preset("An additive update of rank 4", {"teacher": "rank"}),
    ),
    prediction=Prediction(
        "This teacher makes rows longer or shorter and turns none. From which rank on does LoRA meet it?",
        _MEETS,
        lambda: _MEETS[sum(min(knock_out("magnitude")["lora", r] for r in KNOCK_OUT_RANKS[:n]) > 0.03 for n in (1, 6))],
        "64 rows times 64 different factors is an update of full rank, so no rank up to 32 is enough. DoRA has one "
        "trained length a row, and meets the teacher at rank 1.",
        {"teacher": "magnitude"},
    ),
    try_this=(
        TryThis(
            "Ask for an update that is simply added, of rank 4.",
            {"teacher": "rank"},
            "Does DoRA still win?",
            "No: both leave about one half at rank 2 and nothing at rank 4. The gap is made by the teacher, not by "
            "a better method.",
            lambda: (
                abs(knock_out("rank")["dora", 2] - knock_out("rank")["lora", 2]) < 0.05
                and max(knock_out("rank")["dora", 4], knock_out("rank")["lora", 4]) < 0.01
            ),
        ),
    ),
)

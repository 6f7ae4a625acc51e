"""What the findings about merging, forgetting and intruders teach with; every answer is computed from stored runs."""

from __future__ import annotations

import statistics
from functools import cache
from typing import Any

from peftcalc.lab.comparison import Interval
from peftcalc.lab.findings.claims import CLAIMS
from peftcalc.lab.findings.numbers import Rows, at_lowest_good_rate, by_seed, chosen, direction, paired
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.ui.lessons.lesson import Lesson, Prediction, TryThis

WAYS = {
    "requantized": "rounded to 4 bits again",
    "dequantized": "into the dequantized floats",
    "original": "into the original floats",
}
"""What can be merged into, by the column of the stored rows."""

INTRUDER_RANK = 8
SPECTRUM_RATES = {"full": 3e-3, "lora": 1e-2}
"""Of the runs whose spectra are drawn: the task's own."""


def spectrum_runs(rank: int, seed: int) -> list[dict[str, Any]]:
    """Full fine-tuning and LoRA on the digits, as the job "intruders" takes them."""
    shared = {"task": "digits", "steps": 200, "evaluations": 4, "seed": seed}
    methods = {"full": {}, "lora": {"rank": rank, "alpha": 16}}
    return [
        {**shared, **options, "run": name, "method": name, "learning_rate": SPECTRUM_RATES[name]}
        for name, options in methods.items()
    ]


@cache
def merge_cost(way: str, quant: str = "nf4", name: str = "merging") -> Interval:
    """How much higher the loss is after merging than beside the adapter, paired over the seeds."""
    rows = chosen(stored_finding(name).rows, quant=quant)
    return paired(by_seed(rows, way), by_seed(rows, "trained"))


@cache
def compared_rows(name: str = "forgetting") -> Rows:
    """Runs of full fine-tuning and of LoRA of rank 8, each at the lowest rate that learns as well as its best."""
    rows = stored_finding(name).rows
    methods = ({"method": "full"}, {"method": "lora", "rank": INTRUDER_RANK})
    return [row for method in methods for row in at_lowest_good_rate(chosen(rows, **method))]


@cache
def intruders_compared(method: str) -> float:
    """Mean number of intruders among the ten strongest directions of a matrix, where the methods are compared."""
    return statistics.fmean(by_seed(chosen(compared_rows(), method=method), "intruders").values())


@cache
def lost_by_rounding(name: str = "merging") -> float:
    """Of what training in NF4 took off the loss, the share that rounding the merged weights puts back."""
    rows = chosen(stored_finding(name).rows, quant="nf4")
    return merge_cost("requantized", "nf4", name).mean / statistics.fmean(
        row["before"] - row["trained"] for row in rows
    )


def _full_intruders(rate: float) -> float:
    rows = chosen(stored_finding("forgetting").rows, method="full", learning_rate=rate)
    return statistics.fmean(by_seed(rows, "intruders").values())


def _costs() -> int:
    """0 where merging and rounding to NF4 again costs nothing that shows, 1 where it does, 2 where it costs all."""
    more = direction(merge_cost("requantized")) > 0
    return more + (more and lost_by_rounding() > 1 / 2)


_COSTS = ("Nothing that shows", "A little of what was learned", "More than half of what was learned")

MERGING = Lesson(
    prediction=Prediction(
        "A QLoRA adapter is trained beside an NF4 base, merged into it, and the sum is rounded to NF4 again. What is "
        "lost?",
        _COSTS,
        lambda: _COSTS[_costs()],
        "Rounding moves each weight to the nearest of sixteen levels once more. What survives depends on how large the "
        "update is beside these moves: a longer training leaves more of it.",
    ),
    try_this=(
        TryThis(
            "Look at the row of the dequantized floats.",
            {},
            "Why is its difference so small?",
            "It is the same sum that the adapter was trained with, written as one matrix: only floats are rounded.",
            lambda: all(abs(merge_cost("dequantized", quant).mean) < 1e-3 for quant in ("nf4", "int4")),
        ),
    ),
)

_FORGOT = {
    "reproduces": "Full fine-tuning",
    "reverses": "LoRA",
    "not resolved": "That is not resolved",
}

FORGETTING = Lesson(
    prediction=Prediction(
        "Two runs have learned the turned digits equally well. Which has forgotten more of the upright ones?",
        tuple(_FORGOT.values()),
        lambda: _FORGOT[CLAIMS["forgetting"].badge],
        "At each method's usual rate two things differ at once: how much was learned, and how much was forgotten. The "
        "plane compares them where the new task's loss is the same: on one height.",
    ),
)

_NEW = ("Fewer than one in two matrices has one", "Between one half and five", "More than five")

INTRUDERS = Lesson(
    prediction=Prediction(
        "LoRA of rank 8 has learned the turned digits. How many of a matrix's ten strongest directions are new?",
        _NEW,
        lambda: _NEW[sum(intruders_compared("lora") > edge for edge in (0.5, 5))],
        "A new direction, or intruder, has a cosine below ½ with every old one. Their number depends on the learning "
        "rate: each method is taken at the lowest that learns as well as its best.",
    ),
    try_this=(
        TryThis(
            "Once you have guessed, follow full fine-tuning over the learning rate, from the lowest to the highest.",
            {"intruder-rank": 8},
            "Has it no intruders at any rate?",
            "None at the lowest rate, and more than one in the middle: they are not LoRA's alone.",
            lambda: _full_intruders(1e-3) < 0.5 < 1 < _full_intruders(1e-2),
        ),
    ),
)

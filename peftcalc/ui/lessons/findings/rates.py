"""What the findings about learning rate, rank and alpha teach with: every answer is computed from the stored runs."""

from __future__ import annotations

import math
import statistics
from functools import cache

from peftcalc.lab.findings.numbers import best_rates, by_seed, chosen
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.ui.lessons.lesson import Lesson, Prediction, TryThis

RATE_RANKS = (1, 4, 16, 64)
HEART_RANKS = (1, 2, 8)


@cache
def best_rate(method: str, rank: int, name: str = "learning-rate") -> float:
    """Geometric mean over the seeds of the rate at which a method learns best."""
    rows = chosen(stored_finding(name).rows, method=method, rank=rank)
    return 10 ** statistics.fmean(best_rates(rows).values())


@cache
def best_rate_of_alpha(alpha: float) -> float:
    """The same of an alpha, at rank 8."""
    rows = chosen(stored_finding("alpha").rows, rank=8, scale=alpha / 8)
    return 10 ** statistics.fmean(best_rates(rows).values())


@cache
def learned_by_heart(images: int, rank: int) -> float:
    """Mean over the seeds of the share of random labels that is known at the end; rank 0 is full fine-tuning."""
    return statistics.fmean(
        by_seed(chosen(stored_finding("capacity").rows, images=images, rank=rank), "accuracy").values()
    )


def _place(value: float, *edges: float) -> int:
    """Between which edges a value lies."""
    return sum(value > edge for edge in edges)


_RANKS = ("Rank 1 wants a higher one", "Both want about the same", "Rank 64 wants a higher one")

RATES = Lesson(
    notebook="07_findings",
    prediction=Prediction(
        "Rank 64 trains 64 times as many numbers as rank 1. Which wants the higher learning rate?",
        _RANKS,
        lambda: _RANKS[_place(best_rate("lora", 64) / best_rate("lora", 1), 0.5, 2)],
        "With one α for all the update is divided by the rank, s = α / r: a higher rank has more directions, and each "
        "counts for less. A best rate here lies between the rates that were tried, where a parabola has its bottom.",
    ),
    try_this=(
        TryThis(
            "Compare the best rates of the ranks with that of full fine-tuning.",
            {"seeds": 4},
            "Ten times apart, as on large models?",
            "No: on the digits the ranks want one to five times its rate. On SmolLM2, below, LoRA wants more than ten "
            "times, but there the task and the steps are others, too.",
            lambda: (
                1 < statistics.fmean(best_rate("lora", rank) for rank in RATE_RANKS) / best_rate("full", 0) < 5
                and best_rate("lora", 8, "smollm2-rates") > 10 * best_rate("full", 0, "smollm2-rates")
            ),
        ),
    ),
)

_HEART = ("All of them", "More than half, not all", "Less than half")

CAPACITY = Lesson(
    prediction=Prediction(
        "Of 160 images with random labels rank 1 learns nearly every one. And of 1,280?",
        _HEART,
        lambda: _HEART[2 - _place(learned_by_heart(1280, 1), 0.5, 0.98)],
        "Random labels share nothing that could be learned once for all: each takes room of its own, and there is the "
        "more room, the more numbers are trained.",
    ),
    try_this=(
        TryThis(
            "Follow rank 1 from 160 images to 640 and 1,280.",
            {"seeds": 2},
            "Does its share fall gently, or is there a cliff?",
            "Gently: it keeps on learning some, and the more there are, the smaller is their share.",
            lambda: learned_by_heart(160, 1) > learned_by_heart(640, 1) > learned_by_heart(1280, 1) > 0.1,
        ),
    ),
)

_ALPHA = ("At a lower rate", "At the same", "At a higher one, less than 16 times", "At 16 times the rate")

ALPHA = Lesson(
    prediction=Prediction(
        "α is turned down from 16 to 1. At which learning rate does it learn best now?",
        _ALPHA,
        lambda: _ALPHA[_place(best_rate_of_alpha(1) / best_rate_of_alpha(16), 0.8, 1.25, 12)],
        "α and the rate turn the same knob, but not one to one: Adam's steps on A and B do not know α, what they do to "
        "W is multiplied by it.",
    ),
    try_this=(
        TryThis(
            "Compare the framed cells.",
            {"seeds": 4},
            "Does a larger α, tuned, end lower?",
            "Hardly: once the rate is tuned, the framed cells differ by less than a third. That is why a rule such as "
            "α = 2r is as good as another.",
            lambda: _tuned_spread() < 4 / 3,
        ),
    ),
)


def _tuned_spread() -> float:
    """Largest over smallest of the lowest mean losses, alpha by alpha."""
    means = []
    for scale in {row["scale"] for row in chosen(stored_finding("alpha").rows, rank=8)}:
        rows = chosen(stored_finding("alpha").rows, rank=8, scale=scale)
        rates = {row["learning_rate"] for row in rows}
        losses = [statistics.fmean(by_seed(chosen(rows, learning_rate=rate), "validation").values()) for rate in rates]
        means.append(min(loss for loss in losses if math.isfinite(loss)))
    return max(means) / min(means)

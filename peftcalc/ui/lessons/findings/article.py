"""What the article's own experiment teaches with."""

from __future__ import annotations

from functools import cache

from peftcalc.memory.fit import ARTICLE, fit, largest_sequence
from peftcalc.methods import DoRA, LoRA, QLoRA
from peftcalc.speed.estimate import estimate_speed
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

TRAININGS = 100
"""Of which the hours are computed: over a hundred were run."""

_LONGER = ("It takes less time", "It takes as long, within a tenth", "It takes more time")


@cache
def step_ratio() -> float:
    """A step of QLoRA's in steps of LoRA's, on the article's card."""
    seconds = [
        estimate_speed(
            ARTICLE.model, method, ARTICLE.gpu, ARTICLE.batch, ARTICLE.sequence, **ARTICLE.options
        ).seconds_per_step
        for method in (QLoRA(rank=8), LoRA(rank=8))
    ]
    return seconds[0] / seconds[1]


def _dora_asks_for_checkpointing() -> bool:
    options = {**ARTICLE.options, "checkpointing": False}
    lora, dora = fit(ARTICLE.model, ARTICLE.gpu, [LoRA(rank=8), DoRA(rank=8)], 1, 1024, **options)
    return lora.fits and not dora.fits


ARTICLE_LESSON = Lesson(
    presets=(
        Preset("As set up here", {"rank": 8, "sequence": 1024, "batch": 1, "checkpointing": True}),
        Preset("Keep the activations", {"rank": 8, "sequence": 1024, "batch": 1, "checkpointing": False}),
        Preset("The whole context", {"rank": 8, "sequence": 4096, "batch": 1, "checkpointing": True}),
    ),
    prediction=Prediction(
        "QLoRA needs about half of LoRA's memory here. And its step?",
        _LONGER,
        lambda: _LONGER[(step_ratio() > 0.9) + (step_ratio() > 1.1)],
        "Four bits are unpacked into sixteen before every product, forward and backward: memory is paid for in time.",
    ),
    try_this=(
        TryThis(
            "Keep the activations instead of computing them again.",
            {"rank": 8, "sequence": 1024, "batch": 1, "checkpointing": False},
            "Which of the adapters that fitted does not any more?",
            "DoRA: its step keeps a second output of every adapted layer. LoRA still fits.",
            _dora_asks_for_checkpointing,
        ),
        TryThis(
            "Go to the model's whole context of 4,096 tokens.",
            {"rank": 8, "sequence": 4096, "batch": 1, "checkpointing": True},
            "Does LoRA still fit on the card?",
            "Yes, with activations computed again, and beyond.",
            lambda: largest_sequence(ARTICLE.model, LoRA(rank=8), ARTICLE.gpu, **ARTICLE.options) > 4096,
        ),
    ),
)

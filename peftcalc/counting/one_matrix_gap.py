"""Why a real model's percentage differs from the one-matrix model's: the way from one to the other, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftcalc.counting.count import count
from peftcalc.methods import LoRA
from peftcalc.models.load import load_model

if TYPE_CHECKING:
    from peftcalc.models.shapes import ModelShapes


@dataclass(frozen=True)
class GapStep:
    """One step on the way, with the percentage that it arrives at."""

    name: str
    percent: float
    sentence: str
    """What changes in this step, with this model's numbers."""


def one_matrix_gap(shapes: ModelShapes | Any, method: LoRA) -> tuple[GapStep, ...]:
    """From `2·√N·r / N` to the percentage that peft prints, for a model of N parameters.

    1. one square matrix of N parameters, `2·√N·r / N`;
    2. the adapted matrices as squares of their own sizes, `Σ 2·√(in·out)·r / N`: many smaller matrices have together
       more rows and columns than one large one;
    3. their real shapes, `Σ r·(in + out) / N`: an oblong has a longer rim than a square of its area;
    4. everything else that is trained: DoRA's magnitudes, biases, copies;
    5. of base and adapter together, as peft divides.

    Raises:
        ValueError: as `peftcalc.count`.

    >>> [round(step.percent, 3) for step in one_matrix_gap({"model_type": "gpt2"}, LoRA(rank=8, targets=["c_attn"]))]
    [0.143, 0.205, 0.237, 0.237, 0.236]
    """
    model = load_model(shapes)
    counted = count(model, method)
    size = counted.base
    matrices = [part for part in counted.parts if part.how == "adapter" and part.in_features and part.out_features]
    how_many = sum(part.repeats for part in matrices)
    squares = sum(2 * math.sqrt(p.in_features * p.out_features) * p.rank * p.repeats for p in matrices)
    shaped = sum((p.in_features + p.out_features) * p.rank * p.repeats for p in matrices)
    side = math.isqrt(size - 1) + 1
    share = 100 / size
    return (
        GapStep(
            "One square matrix",
            share * 2 * side * method.rank,
            f"All {size:,} parameters as one {side:,} × {side:,} matrix.",
        ),
        GapStep(
            "Many matrices",
            share * squares,
            f"This model has {how_many:,} adapted matrices instead of one: together they have more rows and columns, "
            "and an adapter costs rank times those.",
        ),
        GapStep(
            "Their real shapes",
            share * shaped,
            "They are oblong: inputs and outputs differ, and their sum is larger than for a square of the same area.",
        ),
        GapStep(
            "All that is trained",
            share * counted.trainable,
            f"Magnitudes, biases and copies add {counted.trainable - shaped:,} parameters.",
        ),
        GapStep(
            "As peft prints it",
            counted.percent,
            f"Divided by base and adapter together, {counted.total:,} parameters.",
        ),
    )

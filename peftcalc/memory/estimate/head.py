"""What is as wide as the vocabulary: logits, their float32 copy, log-probabilities, and the gradients of these."""

from __future__ import annotations

from dataclasses import dataclass

from peftcalc.memory.estimate.anatomy import Anatomy
from peftcalc.memory.estimate.terms import LIGER, LOSS
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import Precision

CHUNK = 1024
"""Positions of which the chunked and the fused loss make logits at a time."""


@dataclass(frozen=True)
class Head:
    """Bytes of the loss at its highest."""

    bytes: int
    formula: str
    source: str
    phase: str
    """When the highest point comes."""
    held: int = 0
    """Bytes of the logits that a training loop keeps until the step ends."""


def head_bytes(body: Anatomy, precision: Precision, options: MemoryOptions, trained: bool) -> Head:
    """The highest bytes of logits and loss.

    The standard loss holds float32 log-probabilities and, when its backward pass begins, two gradients as large: 12
    bytes for each token and word. (The forward pass holds the logits, their float32 copy and the log-probabilities: at
    most 10.) A chunked loss does this for 1,024 positions at a time. A fused one makes logits, their float32 copy and
    probabilities of 1,024 positions while the chunk before still has its probabilities and gradient.
    """
    words, tokens = body.vocabulary, options.tokens
    if not words:
        return Head(0, "0", LOSS, "backward")
    if options.loss == "standard":
        softcap = precision.logits if body.softcap else 0
        held = precision.logits * words * tokens if options.keep_outputs else 0
        return Head((12 + softcap) * words * tokens, "12 · T · V", LOSS, "backward", held)
    positions = min(tokens, CHUNK)
    gradients = precision.stream * body.width * tokens + (precision.weight * words * body.width if trained else 0)
    if options.loss == "chunked":
        return Head(12 * words * positions + gradients, "12 · min(T, 1024) · V + a·h·T", LOSS, "backward")
    earlier = 4 + precision.logits if tokens > CHUNK else 0
    each = precision.logits + 4 + 4 + earlier
    return Head(each * words * positions + gradients, f"{each} · min(T, 1024) · V + a·h·T", LIGER, "forward")

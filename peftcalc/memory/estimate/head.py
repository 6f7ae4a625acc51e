"""What is as wide as the vocabulary: logits, their float32 copy, log-probabilities, and the gradients of these."""

from __future__ import annotations

from dataclasses import dataclass

from peftcalc.memory.estimate.anatomy import Anatomy
from peftcalc.memory.estimate.terms import LIGER, LOSS, Term
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import Precision

CHUNK = 1024
"""Positions of which the chunked and the fused loss make logits at a time."""


@dataclass(frozen=True)
class Head:
    """The loss where its backward pass stands highest."""

    term: Term
    phase: str
    """When that is: "backward", or "forward" for a loss that makes its gradients at once."""


def head_moments(body: Anatomy, precision: Precision, options: MemoryOptions, trained: bool) -> tuple[Term, Head]:
    """The highest bytes of logits and loss: in the forward pass, and when the backward pass begins.

    The standard loss holds float32 log-probabilities and, when its backward pass begins, two gradients as large: 12
    bytes for each token and word. Its forward pass holds the logits, their float32 copy and the log-probabilities, at
    most 10 to 12; the older one has another float32 copy, shifted by a position: 14 to 16. A chunked loss does this for
    1,024 positions at a time. A fused one makes logits, their float32 copy and probabilities of 1,024 positions while
    the chunk before still has its probabilities and gradient.
    """
    words, tokens = body.vocabulary, options.tokens
    positions = tokens if options.loss in ("standard", "shifted") else min(tokens, CHUNK)
    count = "T" if positions == tokens else "min(T, 1024)"
    softcap = precision.logits if body.softcap else 0
    copies = 8 + (precision.logits if precision.logits < 4 else 0) + (4 if options.loss == "shifted" else 0) + softcap
    ahead = _term("logits, float32 copies and log-probabilities", f"{copies} · {count} · V", copies * words * positions)
    if options.loss in ("standard", "shifted") or not words:
        each = 12 + softcap
        return ahead, Head(
            _term("log-probabilities and their gradients", f"{each} · T · V", each * words * tokens), "backward"
        )
    gradients = precision.stream * body.width * tokens + (precision.weight * words * body.width if trained else 0)
    if options.loss == "chunked":
        total = 12 * words * positions + gradients
        term = _term("log-probabilities and their gradients", "12 · min(T, 1024) · V + a·h·T", total)
        return ahead, Head(term, "backward")
    each = precision.logits + 4 + 4 + (4 + precision.logits if tokens > CHUNK else 0)
    formula = f"{each} · min(T, 1024) · V + a·h·T"
    term = _term("log-probabilities and their gradients", formula, each * words * positions + gradients, LIGER)
    return term, Head(term, "forward")


def loss_block(body: Anatomy, options: MemoryOptions) -> int:
    """Bytes of the float32 logits that the loss takes at once: `4 · T · V`, or of one chunk."""
    positions = options.tokens if options.loss in ("standard", "shifted") else min(options.tokens, CHUNK)
    return 4 * body.vocabulary * positions


def held_logits(body: Anatomy, precision: Precision, options: MemoryOptions) -> Term:
    """The logits that a training loop keeps until the step ends: all, of the last chunk, or none that were made."""
    positions = {"fused": 0, "chunked": min(options.tokens, CHUNK)}.get(options.loss, options.tokens)
    total = precision.logits * body.vocabulary * positions if options.keep_outputs else 0
    return _term("logits that the loop holds", "e · T · V" if positions == options.tokens else "e · 1024 · V", total)


def _term(name: str, formula: str, size: int, source: str = LOSS) -> Term:
    return Term("logits_and_loss", name, formula, size, source)

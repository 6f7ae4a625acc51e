"""Attention over the sequence: 4·S·width operations a token forward and 10·S·width backward, half of it if causal.

FlashAttention computes the scores again in its backward pass, so it takes five products there for two forward
(FlashAttention-2, arXiv:2307.08691, section 4.1). With a mask of padding torch's memory-efficient kernel takes its
place, which skips nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.memory.estimate.anatomy import Attention
from peftcalc.memory.estimate.terms import FLASH
from peftcalc.speed.work import COMPUTE, MEMORY, SpeedSetup, Work

_SLOWER_MASKED = 0.7
"""What the memory-efficient kernel reaches of the flash kernel's rate (set, not fitted)."""
_KERNELS = (6, 8)
"""Kernels around one fused attention, forward and backward: views made contiguous, the kernel, its sums."""
_KERNELS_WRITTEN_OUT = (12, 14)


def attention(setup: SpeedSetup) -> Iterator[Work]:
    """Scores, probabilities and what they weigh, in all layers."""
    written = setup.step.written_out or setup.step.precision.attention == 4
    repeats = sum(block.repeats for block in setup.step.body.attentions)
    start, back = _KERNELS_WRITTEN_OUT if written else _KERNELS
    launches = repeats * (setup.forwards * start + setup.backward * back)
    if written:
        yield _written_out(setup, launches)
    else:
        yield _fused(setup, launches)
    yield _repeated(setup)


def _fused(setup: SpeedSetup, launches: float) -> Work:
    masked = setup.step.options.masked and setup.step.options.attention != "flash"
    rate = _SLOWER_MASKED if masked else 1.0
    machine = setup.machine
    forward = sum(_flops(setup, block, causal=not masked) / _narrow(block) for block in setup.step.body.attentions)
    seconds = setup.forwards * forward / (rate * machine.attention_forward)
    seconds += setup.backward * 2.5 * forward / (rate * machine.attention_backward)
    return Work("attention", "(F + 2.5) · 4·T·S·width / P, half if causal", seconds, COMPUTE, launches, FLASH)


def _narrow(block: Attention) -> float:
    """Heads of 64 reach less of the peak than heads of 128."""
    return 0.85 if block.query // block.heads <= 64 else 1.0


def _written_out(setup: SpeedSetup, launches: float) -> Work:
    """Scores of sequence × sequence go through the card's memory about nine times forward and twelve backward."""
    precision, machine = setup.step.precision, setup.machine
    q = precision.attention
    scores = sum(b.repeats * b.heads for b in setup.step.body.attentions) * setup.tokens * setup.step.options.sequence
    moved = scores * (setup.forwards * (7 * q + 8) + setup.backward * (8 * q + 12))
    flops = sum(_flops(setup, block, causal=False) for block in setup.step.body.attentions)
    rate = machine.float32 if q == 4 else machine.half
    seconds = moved / machine.bandwidth + (setup.forwards + 2 * setup.backward) * flops / rate
    formula = "T·S·H·(F·(7·q + 8) + 8·q + 12) / B + (F + 2) · 4·T·S·width / P"
    return Work("attention, written out", formula, seconds, MEMORY, launches, "transformers, eager_attention_forward")


def _flops(setup: SpeedSetup, block: Attention, causal: bool) -> float:
    """Operations forward in all layers of a kind; a sliding layer sees its window."""
    body, sequence = setup.step.body, setup.step.options.sequence
    causal = causal and body.vocabulary > 0 and not _reads_both_ways(setup)
    seen = sequence / 2 if causal else sequence
    if body.window and body.window < sequence and causal:
        inside = body.window * (1 - body.window / (2 * sequence))
        seen = body.sliding * inside + (1 - body.sliding) * seen
    return 2 * setup.tokens * seen * (block.query + max(block.value, block.query)) * block.repeats


def _reads_both_ways(setup: SpeedSetup) -> bool:
    """True for encoders, whose positions see the whole sequence."""
    kind = str(setup.model.config.get("model_type"))
    encoders = ("bert", "roberta", "deberta", "electra", "mpnet", "vit")
    return any(word in kind for word in encoders) or bool(setup.model.config.get("is_encoder_decoder"))


def _repeated(setup: SpeedSetup) -> Work:
    """Queries, keys and values are laid out anew, and repeated for every query head where heads share them."""
    size = setup.step.precision.attention
    widths = sum(b.repeats * (2 * b.query + b.key + b.value) for b in setup.step.body.attentions)
    moved = 2 * size * widths * setup.tokens * (setup.forwards + setup.backward)
    return setup.traffic("layout of queries, keys and values", "(F + 1) · 2·q·T·Σ width / B", moved, 0, FLASH)

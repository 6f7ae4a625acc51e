"""Attention over the sequence: 4·S·width operations a token forward and 10·S·width backward, half of it if causal.

FlashAttention computes the scores again in its backward pass, so it takes five products there for two forward
(FlashAttention-2, arXiv:2307.08691, section 4.1). Which kernel runs on the card is what memory says
(`StepSetup.kernel_of`): with a mask of padding, or before compute capability 8.0, torch's memory-efficient one, which
skips nothing where there is a mask; for shared heads on such a card torch's MATH kernel, written out in float32.
"""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.memory.estimate.anatomy import Attention
from peftcalc.memory.estimate.terms import FLASH, MATH
from peftcalc.models.configs.unsaid import settings
from peftcalc.speed.work import COMPUTE, MEMORY, SpeedSetup, Work

_SLOWER_EFFICIENT = 0.7
"""What the memory-efficient kernel reaches of the flash kernel's rate (set, not fitted)."""
_HALF_FORWARD, _HALF_BACKWARD = 500, 700
"""Sequence at which the kernel reaches half of its rate: as the curves of the paper's figures 4 to 6 rise."""
_NARROW_HEADS = 0.85
"""What heads of 64 reach of the rate with heads of 128, in the same figures."""
REPEAT = "transformers, integrations/sdpa_attention.py, repeat_kv"
_KERNELS = (6, 8)
"""Kernels around one fused attention, forward and backward: views made contiguous, the kernel, its sums."""
_KERNELS_WRITTEN_OUT = (12, 14)


def attention(setup: SpeedSetup) -> Iterator[Work]:
    """Scores, probabilities and what they weigh, in all layers."""
    written = _kernel(setup) in ("eager", "math")
    repeats = sum(block.repeats for block in setup.step.body.attentions)
    start, back = _KERNELS_WRITTEN_OUT if written else _KERNELS
    launches = repeats * (setup.forwards * start + setup.backward * back)
    if written:
        yield _written_out(setup, launches)
    else:
        yield _fused(setup, launches)
    yield _repeated(setup)


def _kernel(setup: SpeedSetup) -> str:
    """What computes attention in most layers, on this card (`StepSetup.kernel_of`)."""
    return setup.step.kernels[0]


def _masked(setup: SpeedSetup) -> bool:
    """True where padding keeps the flash kernel away: then nothing is skipped."""
    return setup.step.options.masked and _kernel(setup) != "flash"


def _fused(setup: SpeedSetup, launches: float) -> Work:
    masked, machine = _masked(setup), setup.machine
    rate = 1.0 if _kernel(setup) == "flash" else _SLOWER_EFFICIENT
    if _kernel(setup) != "flash" and setup.step.precision.attention == 4:
        rate *= min(machine.float32 / machine.half, 1.0)
    sequence = setup.step.options.sequence
    forward = sum(_flops(setup, block, causal=not masked) / _narrow(block) for block in setup.step.body.attentions)
    ahead = machine.attention_forward * sequence / (sequence + _HALF_FORWARD)
    back = machine.attention_backward * sequence / (sequence + _HALF_BACKWARD)
    seconds = forward / rate * (setup.forwards / ahead + 2.5 * setup.backward / back)
    seconds = min(seconds, _written_out(setup, launches).seconds)  # the curves are of long sequences
    return Work("attention", "(F + 2.5) · 4·T·S·width / P, half if causal", seconds, COMPUTE, launches, FLASH)


def _narrow(block: Attention) -> float:
    """Heads of 64 reach less of the peak than heads of 128."""
    return _NARROW_HEADS if block.query // block.heads <= 64 else 1.0


def _written_out(setup: SpeedSetup, launches: float) -> Work:
    """Scores of sequence × sequence go through the card's memory about nine times forward and twelve backward."""
    precision, machine = setup.step.precision, setup.machine
    math = _kernel(setup) == "math"  # in float32, whatever it was given
    q = 4 if math else precision.attention
    scores = sum(b.repeats * b.heads for b in setup.step.body.attentions) * setup.tokens * setup.step.options.sequence
    moved = scores * (setup.forwards * (7 * q + 8) + setup.backward * (8 * q + 12))
    flops = sum(_flops(setup, block, causal=False) for block in setup.step.body.attentions)
    rate = machine.float32 if q == 4 else machine.half
    one = q * setup.tokens * setup.step.options.sequence * max(b.heads for b in setup.step.body.attentions)
    seconds = machine.traffic(moved, one) + (setup.forwards + 2 * setup.backward) * flops / rate
    formula = "T·S·H·(F·(7·q + 8) + 8·q + 12) / B + (F + 2) · 4·T·S·width / P"
    source = MATH if math else "transformers, eager_attention_forward"
    return Work("attention, written out", formula, seconds, MEMORY, launches, source)


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
    return any(word in kind for word in encoders) or bool(settings(setup.model).get("is_encoder_decoder"))


def _repeated(setup: SpeedSetup) -> Work:
    """Keys and values are written out for every query head that shares them, unless the flash kernel reads them."""
    size = setup.step.precision.attention
    shared = sum(b.repeats * 2 * b.query for b in setup.step.body.attentions if b.key < b.query)
    repeated = _kernel(setup) in ("efficient", "math")
    moved = 2 * size * shared * setup.tokens * (setup.forwards + setup.backward) if repeated else 0
    one = size * setup.tokens * max(block.query for block in setup.step.body.attentions)
    return setup.traffic("keys and values of every query head", "(F + 1) · 4·q·T·query / B", moved, 0, REPEAT, one)

"""What autograd keeps of attention: inputs and output where it is fused, probabilities where it is written out."""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.memory.estimate.anatomy import Attention
from peftcalc.memory.estimate.step_setup import Saved, StepSetup
from peftcalc.memory.estimate.terms import AUTOGRAD, FLASH
from peftcalc.memory.precision import Precision


def saved_in_attention(setting: StepSetup) -> Iterator[Saved]:
    """Written out it keeps the probabilities; fused it keeps its inputs and output, and a mask where there is one."""
    precision, body, options = setting.precision, setting.body, setting.options
    if setting.written_out:
        yield from _written_attention(setting)
        return
    slides = body.sliding if 0 < body.window <= options.sequence else 0.0
    masked = 1.0 if options.masked else slides
    flash = sum(block.repeats * _kept_by_attention(block, precision, False) for block in body.attentions)
    efficient = sum(block.repeats * _kept_by_attention(block, precision, True) for block in body.attentions)
    share = 1.0 if precision.attention == 4 else masked  # the flash kernel takes half precision only
    kept = (1 - share) * flash + share * efficient
    formula = "L · T · (4·q·H·d + 4·H)" if share == 1 else "L · T · (q·(2·H·d + 2·K·d) + 4·H)"
    yield Saved("queries, keys, values and output of attention", formula, kept, FLASH)
    masks = masked * sum(block.repeats for block in body.attentions) * precision.attention * options.sequence
    yield Saved("masks of attention", "L · T · q·S", masks, AUTOGRAD)


def _written_attention(setting: StepSetup) -> Iterator[Saved]:
    """Matrix products keep their factors, keys and values for every query head; softmax its float32 result."""
    size, body = setting.precision.attention, setting.body
    inputs = sum(
        size * block.repeats * (3 * block.query if block.key < block.query else block.query + block.key + block.value)
        for block in body.attentions
    )
    yield Saved("queries, keys and values of attention", "L · T · 3·q·H·d", inputs, AUTOGRAD)
    each = 4 + (size if size < 4 else 0) + (size if body.attention_softcap else 0)
    scores = sum(each * block.repeats * block.heads * setting.options.sequence for block in body.attentions)
    yield Saved("probabilities of attention, float32 and cast", "L · T · (4 + q)·H·S", scores, AUTOGRAD)


def _kept_by_attention(block: Attention, precision: Precision, masked: bool) -> int:
    """Bytes a token: queries, keys, values, output, and the log-sum-exp of each head.

    With a mask the kernel wants keys and values for every query head. What is cut from a fused projection without being
    turned, repeated or cast keeps all of the projection alive.
    """
    size, recast = precision.attention, precision.attention != precision.product
    repeated = masked and block.key < block.query
    key, value = (block.query, block.query) if repeated else (block.key, block.value)
    whole = precision.product * block.fused if block.fused and not recast and not repeated else 0
    if whole:
        value = 0
        if not block.rotary:
            return whole + size * block.query + 4 * block.heads
    return whole + size * (2 * block.query + key + value) + 4 * block.heads

"""What autograd keeps of attention: inputs and output where it is fused, probabilities where it is written out."""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.memory.estimate.anatomy import Attention
from peftcalc.memory.estimate.step_setup import Saved, StepSetup
from peftcalc.memory.estimate.terms import AUTOGRAD, DISENTANGLED, FLASH, MATH


def saved_in_attention(setting: StepSetup) -> Iterator[Saved]:
    """Written out it keeps the probabilities; fused it keeps its inputs and output, and a mask where there is one."""
    precision, body, share = setting.precision, setting.body, setting.masked_share
    if setting.written_out:
        yield from _written_attention(setting)
        return
    runs = [
        (part * block.repeats, block, setting.kernel_of(block, masked))
        for part, masked in ((1 - share, False), (share, True))
        for block in body.attentions
        if part
    ]
    fused = [run for run in runs if run[2] != "math"]
    kept = sum(repeats * _kept_by_attention(block, setting, kernel) for repeats, block, kernel in fused)
    repeated = all(kernel == "efficient" for _, _, kernel in fused)
    formula = "L · T · (4·q·H·d + 4·H)" if repeated else "L · T · (q·(2·H·d + 2·K·d) + 4·H)"
    yield Saved("queries, keys, values and output of attention", formula, kept, FLASH)
    written = [(repeats, block) for repeats, block, kernel in runs if kernel == "math"]
    own = body.broadcasts
    inputs = sum(
        4 * repeats * (block.query + block.key + block.value if own else 3 * block.query) for repeats, block in written
    )
    yield Saved("queries, keys and values of attention in float32", "L · T · 12·H·d", inputs, MATH)
    scores = sum(4 * repeats * block.heads * setting.options.sequence for repeats, block in written)
    yield Saved("probabilities of attention, float32", "L · T · 4·H·S", scores, MATH)
    read = share * sum(block.repeats for block in body.attentions if setting.kernel_of(block, True) == "efficient")
    if body.t5:
        yield Saved("biases by distance, a copy for each layer", "L · T · q·H·S", _biases(setting), AUTOGRAD)
        return
    masks = read * precision.attention * setting.options.sequence
    yield Saved("masks of attention", "L · T · q·S", masks, AUTOGRAD)


def _biases(setting: StepSetup) -> float:
    """Bytes a token of T5's biases by distance where sequences are padded: those of the encoder and of cross-attention.

    Both differ by sequence. A decoder's, which hide what comes later, and all of them without padding, are the same for
    each sequence (`kept`).
    """
    own = sum(block.repeats * block.heads for block in setting.body.attentions if not block.crossed)
    return setting.precision.attention * own * setting.options.sequence if setting.options.masked else 0


def _written_attention(setting: StepSetup) -> Iterator[Saved]:
    """Matrix products keep their factors, keys and values for every query head; softmax its float32 result."""
    size, body = setting.precision.attention, setting.body
    inputs = sum(
        size * block.repeats * (3 * block.query if block.key < block.query else block.query + block.key + block.value)
        for block in body.attentions
    )
    yield Saved("queries, keys and values of attention", "L · T · 3·q·H·d", inputs, AUTOGRAD)
    each = 4 + (size if size < 4 else 0) + (size if body.attention_softcap else 0) + body.attention_drops
    heads = sum(block.repeats * block.heads for block in body.attentions)
    scores = each * heads * setting.options.sequence
    dropped = " + 1" if body.attention_drops else ""
    yield Saved("probabilities of attention, float32 and cast", f"L · T · (4 + q{dropped})·H·S", scores, AUTOGRAD)
    there, ways = body.distances
    if ways:
        yield Saved("scores of distances", "L · T · 2·q·H·D", size * ways * heads * there, DISENTANGLED)
        hidden = sum(block.repeats for block in body.attentions) * setting.options.sequence
        yield Saved("what each token may see", "L · T · S", hidden, DISENTANGLED)


def saved_distances(setting: StepSetup) -> Saved:
    """DeBERTa's queries and keys of distances, a copy for each sequence; and which distance two tokens are apart."""
    options, (there, ways), each = setting.options, setting.body.distances, setting.precision.attention
    widths = sum(block.repeats * block.query for block in setting.body.attentions)
    places = 8 * sum(block.repeats for block in setting.body.attentions) * options.sequence * options.sequence
    size = ways * (each * there * widths * options.batch + places)
    return Saved("queries and keys of distances", "L · 2 · (B · D · q·h + 8·S²)", size, DISENTANGLED)


def _kept_by_attention(block: Attention, setting: StepSetup, kernel: str) -> int:
    """Bytes a token: queries, keys, values, output, and the log-sum-exp of each head.

    The efficient kernel wants keys and values for every query head; flash takes half precision only. What is cut from a
    fused projection without being turned, repeated or cast keeps all of the projection alive.
    """
    precision = setting.precision
    size = min(precision.attention, precision.dtype) if kernel == "flash" else precision.attention
    recast = size != precision.product
    repeated = kernel == "efficient" and block.key < block.query
    key, value = (block.query, block.query) if repeated else (block.key, block.value)
    whole = precision.product * block.fused if block.fused and not recast and not repeated else 0
    if whole:
        value = 0
        if not block.rotary:
            return whole + size * block.query + 4 * block.heads
    return whole + size * (2 * block.query + key + value) + 4 * block.heads

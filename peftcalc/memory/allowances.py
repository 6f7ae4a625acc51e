"""What a card must hold beside the step's tensors: the allocator's reserve and the CUDA context, with their ranges."""

from __future__ import annotations

from peftcalc.memory.cards import Gpu
from peftcalc.memory.records import Allowance
from peftcalc.units import GIB

MIB = GIB // 1024

RESERVED_SHARES = (0.0, 0.02, 0.10)
"""Reserved above allocated memory where nothing comes and goes but one pass: as a share, lowest, expected, highest."""

WRITTEN_OUT = 0.75
"""Share of the blocks that a step's parts would take apart, beyond the peak, where attention is written out."""

FUSED = 1.4
"""The same where it is fused, of at most one block of logits: a layer's small tensors are cut from what logits left."""

LEFT_BY_LOADING = 0.25
"""Share of the bytes freed by the upcast of embeddings and head that nothing uses again."""

SPREAD = 0.10
"""Relative distance from the expected reserve within which nine of ten of the rows lie that it was fitted to."""

CONTEXT_BYTES = (250 * MIB, 450 * MIB, 700 * MIB)
"""CUDA context, loaded kernels and libraries' handles: lowest, expected, highest."""

MEASURED_CONTEXTS = {
    "T4": ((140, 141, 250), "measured on a Tesla T4 by fitcheck-llm 0.3.1, scripts/measure.py"),
    "H100 80GB": (
        (586, 760, 900),
        "measured by us on an H100 80GB HBM3, torch 2.11.0+cu130, driver 580.159.04: 586 MiB after one matrix product, "
        "742 to 760 in 27 training steps",
    ),
}
"""The same in MiB on cards where it was measured, and how: what the process holds after a step beside its reserve.

The highest is judgement here too.
"""

FITTED = (
    "expected: three shares fitted to 43 measured rows of a Tesla T4, an RTX 4080 and an A100, 3 to 4 % off on a row "
    "that is left out; range: nine of ten rows"
)


def unshared_bytes(peak: int, apart: int, logits: int, written_out: bool) -> int:
    """Bytes of blocks that one part of a step leaves and no other can use.

    `0.75 · (apart − peak)` where attention is written out, else `1.4 · min(apart − peak, logits)`

    Args:
        peak: bytes allocated at the peak.
        apart: bytes if the parts of the step shared no block (`estimate.moments.Moments`).
        logits: bytes of the float32 logits that the loss takes at once.
        written_out: whether attention keeps its probabilities.

    >>> unshared_bytes(1000, 1400, 100, written_out=True), unshared_bytes(1000, 1400, 100, written_out=False)
    (300, 140)
    """
    beyond = max(apart - peak, 0)
    return round(WRITTEN_OUT * beyond if written_out else FUSED * min(beyond, logits))


def reserved_allowance(peak: int, unshared: int | None = None, upcast: int = 0) -> Allowance:
    """What the caching allocator holds above the allocated bytes: blocks that are free but do not fit.

    Args:
        peak: bytes allocated at the peak.
        unshared: `unshared_bytes` of a step; None where one part alone comes and goes, as in serving: then a share of
            the peak.
        upcast: bytes that loading freed (`estimate.study.upcast_bytes`), of which a quarter stays of no use.

    >>> reserved_allowance(1000, unshared=300, upcast=400).expected_bytes
    400
    """
    if unshared is None:
        low, expected, high = (int(peak * share) for share in RESERVED_SHARES)
        return Allowance("reserved by the caching allocator", low, expected, high, "judgement")
    expected = unshared + round(LEFT_BY_LOADING * upcast)
    return spread("reserved by the caching allocator", peak, expected, FITTED)


def spread(name: str, peak: int, expected: int, source: str) -> Allowance:
    """An allowance with the range of `SPREAD` around the whole reserve, never below nothing."""
    around = round(SPREAD * (peak + expected))
    return Allowance(name, max(expected - around, 0), expected, expected + around, source)


def context_allowance(card: Gpu | None = None) -> Allowance:
    """The CUDA context of one process: outside the allocator, inside what `nvidia-smi` shows."""
    if card and card.name in MEASURED_CONTEXTS:
        (low, expected, high), source = MEASURED_CONTEXTS[card.name]
        return Allowance("CUDA context", low * MIB, expected * MIB, high * MIB, source)
    judged = "judgement, not measured by this project: it varies with card and CUDA version"
    return Allowance("CUDA context", *CONTEXT_BYTES, judged)

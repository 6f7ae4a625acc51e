"""What a card must hold beside the step's tensors: the allocator's reserve and the CUDA context, with their ranges."""

from __future__ import annotations

from peftcalc.memory.cards import Gpu
from peftcalc.memory.records import Allowance
from peftcalc.units import GIB

MIB = GIB // 1024

RESERVED_SHARES = (0.0, 0.02, 0.10)
"""Reserved above allocated memory where nothing comes and goes but one pass: as a share, lowest, expected, highest."""

UNSHARED = 0.75
"""Share of the blocks, of those that parts at their own highest would take beyond the peak, that is really taken."""

LEFT_BY_LOADING = 0.3
"""Share of the bytes freed by the upcast of embeddings and head that nothing uses again."""

SPREAD = 0.10
"""Relative distance from the expected reserve within which nine of ten measured rows lie."""

CONTEXT_BYTES = (250 * MIB, 450 * MIB, 700 * MIB)
"""CUDA context, loaded kernels and libraries' handles: lowest, expected, highest."""

MEASURED_CONTEXTS = {"T4": (140 * MIB, 141 * MIB, 250 * MIB)}
"""The same on cards where it was measured: what torch.cuda.mem_get_info misses after a step."""

FITTED = (
    "expected: fitted to 27 measured reserves of a Tesla T4; range: nine of ten rows, with those of an RTX 4080 and an "
    "A100 that judged it"
)


def reserved_allowance(peak: int, apart: int | None = None, upcast: int = 0) -> Allowance:
    """What the caching allocator holds above the allocated bytes: blocks that are free but do not fit.

    `0.75 · (apart − peak) + 0.3 · upcast`

    Args:
        peak: bytes allocated at the peak.
        apart: bytes if the parts of the step shared no block (`estimate.loading.apart`); None where one part alone comes
            and goes, as in serving: then a share of the peak.
        upcast: bytes that loading freed (`estimate.loading.upcast_bytes`).

    >>> reserved_allowance(1000, apart=1400).expected_bytes
    300
    """
    if apart is None:
        low, expected, high = (int(peak * share) for share in RESERVED_SHARES)
        return Allowance("reserved by the caching allocator", low, expected, high, "judgement")
    expected = round(UNSHARED * max(apart - peak, 0) + LEFT_BY_LOADING * upcast)
    return spread("reserved by the caching allocator", peak, expected, FITTED)


def spread(name: str, peak: int, expected: int, source: str) -> Allowance:
    """An allowance with the range of `SPREAD` around the whole reserve, never below nothing."""
    around = round(SPREAD * (peak + expected))
    return Allowance(name, max(expected - around, 0), expected, expected + around, source)


def context_allowance(card: Gpu | None = None) -> Allowance:
    """The CUDA context of one process: outside the allocator, inside what `nvidia-smi` shows."""
    known = MEASURED_CONTEXTS.get(card.name) if card else None
    low, expected, high = known or CONTEXT_BYTES
    judged = "judgement, not measured by this project: it varies with card and CUDA version"
    source = "measured on a Tesla T4 by fitcheck-llm 0.3.1, scripts/measure.py" if known else judged
    return Allowance("CUDA context", low, expected, high, source)

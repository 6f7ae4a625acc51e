"""What a card must hold beside the step's tensors: the allocator's reserve and the CUDA context, with their ranges."""

from __future__ import annotations

from peftcalc.memory.records import Allowance
from peftcalc.units import GIB

RESERVED_SHARES = (0.0, 0.02, 0.10)
"""Reserved above allocated memory, as a share of the peak: lowest, expected, highest."""

MIB = GIB // 1024

CONTEXT_BYTES = (250 * MIB, 450 * MIB, 700 * MIB)
"""CUDA context, loaded kernels and libraries' handles: lowest, expected, highest."""


def reserved_allowance(peak: int) -> Allowance:
    """What the caching allocator holds above the allocated bytes: blocks that are free but do not fit."""
    low, expected, high = (int(peak * share) for share in RESERVED_SHARES)
    return Allowance(
        "reserved by the caching allocator",
        low,
        expected,
        high,
        "expected: calibrated on five published runs of Llama-3.2-3B (PEFT, MetaMathQA); range: judgement",
    )


def context_allowance() -> Allowance:
    """The CUDA context of one process: outside the allocator, inside what `nvidia-smi` shows."""
    low, expected, high = CONTEXT_BYTES
    return Allowance(
        "CUDA context",
        low,
        expected,
        high,
        "judgement, not measured by this project: it varies with card and CUDA version",
    )

"""The formats in which a quantized base is stored: bytes of the codes and of the scales beside them.

A weight (out, in) has `in · out` codes. bitsandbytes' 4 bits share a scale among 64 of them (QLoRA paper, section 3);
LLM.int8 keeps one float32 scale a row (arXiv:2208.07339, section 2.1); GPTQ and AWQ, as GPTQModel packs them, keep a
half-precision scale and a 4-bit zero point for each group of 128 inputs, and GPTQ the group of every input besides;
MXFP4 shares one byte, a power of two, among 32 (OCP Microscaling Formats, version 1.0, section 5.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from peftcalc.memory.estimate.terms import AWQ, GPTQ, INT8, MXFP4

ROUNDING = 512
"""CUDA's caching allocator hands out multiples of this many bytes (`kMinBlockSize`, c10/cuda/CUDACachingAllocator)."""

GROUP = 128
"""Inputs that share a scale in GPTQ and AWQ."""


def rounded(size: float) -> int:
    """Bytes that the allocator hands out for `size`.

    >>> rounded(1), rounded(1024)
    (512, 1024)
    """
    return -(-int(size) // ROUNDING) * ROUNDING


@dataclass(frozen=True)
class BaseFormat:
    """Bytes of one weight's codes and constants, from rows (out), columns (in) and matrices that lie together."""

    bits: int
    formula: str
    """Of the codes, N their number."""
    constants: str
    """What lies beside them, in words."""
    constants_formula: str
    beside: Callable[[int, int], tuple[float, ...]]
    """Bytes of each tensor of constants of a matrix (out, in)."""
    source: str
    dense: bool = False
    """True where the dense weight stays from the forward product to the backward one."""

    def code_bytes(self, shape: Iterable[int]) -> int:
        """Of a weight, or of a stack of them."""
        return rounded(math.prod(shape) * self.bits / 8)

    def constant_bytes(self, shape: tuple[int, ...]) -> int:
        """Of the same.

        >>> FORMATS["int8"].constant_bytes((1024, 256)), FORMATS["mxfp4"].constant_bytes((8, 1024, 256))
        (4096, 65536)
        """
        matrices = math.prod(shape[:-2])
        return sum(rounded(matrices * size) for size in self.beside(shape[-2], shape[-1]))


def _groups(rows: int, columns: int) -> tuple[float, ...]:
    """Half-precision scales and 4-bit zero points."""
    groups = -(-columns // GROUP)
    return 2 * groups * rows, groups * rows / 2


FORMATS = {
    "int8": BaseFormat(8, "N₈", "float32 scales of rows", "4 · Σ out", lambda rows, _: (4 * rows,), INT8),
    "gptq": BaseFormat(
        4,
        "N₄ / 2",
        "scales and zero points of groups of 128, and each input's group",
        "2.5 · N₄/128 + 4 · Σ in",
        lambda rows, columns: (*_groups(rows, columns), 4 * columns),
        GPTQ,
        dense=True,
    ),
    "awq": BaseFormat(4, "N₄ / 2", "scales and zero points of groups of 128", "2.5 · N₄/128", _groups, AWQ, dense=True),
    "mxfp4": BaseFormat(
        4, "N₄ / 2", "powers of two of blocks of 32", "N₄/32", lambda rows, columns: (rows * -(-columns // 32),), MXFP4
    ),
}
"""All but bitsandbytes' 4 bits, whose constants depend on the method."""

"""The inner loops of dequantizing, compiled: `four_bits.c`, where `compiled.py` finds it.

`blockwise.py` and `nested.py` write the same numbers with torch's own operations, bit for bit and about four times
slower.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from peftcalc.compiled import load, readable

CODES_AT_A_TIME = 32
"""The loop takes whole blocks of a multiple of this many numbers."""

NUMBERS_A_THREAD = 1 << 15
"""Fewer are done before another thread has heard of them."""

_NAMES = {torch.bfloat16: "dequantize_to_bfloat16", torch.float32: "dequantize_to_float32"}


def dequantize_blocks(packed: Tensor, scales: Tensor, values: Tensor, block_size: int, out: Tensor) -> int:
    """Write `value[code] · scale` into the front of `out`, and say how many numbers that were: whole blocks, or 0.

    Args:
        packed: (⌈n / 2⌉,) uint8, the first of two codes in the high nibble.
        scales: (⌈n / block_size⌉,) float32.
        values: of the sixteen codes, (16,) float32.
        block_size: how many neighbours share a scale.
        out: (n,), of any floating type.

    >>> out = torch.zeros(32)
    >>> written = dequantize_blocks(torch.zeros(16, dtype=torch.uint8), torch.ones(1), torch.ones(16), 32, out)
    >>> written == (32 if library() else 0) and int(out.sum()) == written
    True
    """
    loops, name = library(), _NAMES.get(out.dtype)
    if loops is None or name is None or block_size % CODES_AT_A_TIME or not readable(packed, scales, values, out):
        return 0
    blocks = out.numel() // block_size
    if packed.numel() * 2 < blocks * block_size or scales.numel() < blocks:
        raise ValueError(f"{out.numel()} numbers need more than {packed.numel()} bytes and {scales.numel()} scales")
    threads = max(1, min(torch.get_num_threads(), out.numel() // NUMBERS_A_THREAD))
    pointers = packed.data_ptr(), scales.data_ptr(), values.data_ptr()
    loops[name](*pointers, blocks, block_size, out.data_ptr(), threads)
    return blocks * block_size


def dequantize_scales(codes: Tensor, scales: Tensor, values: Tensor, block_size: int, offset: Tensor) -> Tensor | None:
    """`value[code] · scale + offset`, (blocks,) float32, or None where torch has to do it.

    Args:
        codes: (blocks,) uint8.
        scales: (⌈blocks / block_size⌉,) float32.
        values: of the 256 codes, (256,) float32.
        block_size: how many neighbours share a scale.
        offset: (), float32.
    """
    loops = library()
    if loops is None or not readable(codes, scales, values, offset):
        return None
    if scales.numel() * block_size < codes.numel():
        raise ValueError(f"{codes.numel()} codes in blocks of {block_size} need more than {scales.numel()} scales")
    out = torch.empty(codes.numel())
    pointers = codes.data_ptr(), scales.data_ptr(), values.data_ptr()
    loops["dequantize_scales"](*pointers, codes.numel(), block_size, offset.data_ptr(), out.data_ptr())
    return out


@functools.cache
def library() -> dict[str, Any] | None:
    """The loops by their names, or None where this installation has none."""
    return load("quant/four_bits", dict.fromkeys(_NAMES.values(), "pppiipi") | {"dequantize_scales": "pppiipp"})

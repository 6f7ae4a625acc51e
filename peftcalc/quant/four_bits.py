"""The inner loops of dequantizing, compiled: `four_bits.c`, where `compiled.py` finds it.

`blockwise.py` and `nested.py` write the same numbers with torch's own operations, bit for bit and about four times
slower.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from peftcalc.compiled import check, load, readable

CODES_AT_A_TIME = 32
"""The loop takes whole blocks of a multiple of this many numbers."""

FOUR_BIT_CODES, EIGHT_BIT_CODES = 1 << 4, 1 << 8

NUMBERS_A_THREAD = 1 << 15
"""Fewer are done before another thread has heard of them."""

_NAMES = {torch.bfloat16: "dequantize_to_bfloat16", torch.float32: "dequantize_to_float32"}


def dequantize_blocks(packed: Tensor, scales: Tensor, values: Tensor, block_size: int, out: Tensor) -> int:
    """Write `value[code] · scale` into the front of `out`, and say how many numbers that were: whole blocks, or 0 where
    torch has to do it: tensors on another device or in several pieces, scales or results of other types.

    Args:
        packed: (⌈n / 2⌉,) uint8, the first of two codes in the high nibble.
        scales: (⌈n / block_size⌉,) float32.
        values: of the sixteen codes, (16,) float32.
        block_size: how many neighbours share a scale.
        out: (n,), of any floating type.

    Raises:
        ValueError: too few codes or scales, codes that are not bytes, or a table of another kind.

    >>> out = torch.zeros(32)
    >>> written = dequantize_blocks(torch.zeros(16, dtype=torch.uint8), torch.ones(1), torch.ones(16), 32, out)
    >>> written == (32 if loops() else 0) and int(out.sum()) == written
    True
    """
    known, name = loops(), _NAMES.get(out.dtype)
    whole = block_size > 0 and block_size % CODES_AT_A_TIME == 0
    if known is None or name is None or not whole or not readable(packed, scales, values, out):
        return 0
    if scales.dtype != torch.float32:  # as torch would multiply them
        return 0
    check(name, (packed, torch.uint8, packed.shape), (values, torch.float32, (FOUR_BIT_CODES,)))
    blocks = out.numel() // block_size
    if packed.numel() * 2 < blocks * block_size or scales.numel() < blocks:
        raise ValueError(f"{out.numel()} numbers need more than {packed.numel()} bytes and {scales.numel()} scales")
    threads = max(1, min(torch.get_num_threads(), out.numel() // NUMBERS_A_THREAD))
    pointers = packed.data_ptr(), scales.data_ptr(), values.data_ptr()
    known[name](*pointers, blocks, block_size, out.data_ptr(), threads)
    return blocks * block_size


def dequantize_scales(codes: Tensor, scales: Tensor, values: Tensor, block_size: int, offset: Tensor) -> Tensor | None:
    """`value[code] · scale + offset`, (blocks,) float32, or None where torch has to do it.

    Args:
        codes: (blocks,) uint8.
        scales: (⌈blocks / block_size⌉,) float32.
        values: of the 256 codes, (256,) float32.
        block_size: how many neighbours share a scale.
        offset: (), float32.

    Raises:
        ValueError: too few scales, codes that are not bytes, or a table of another kind.
    """
    known = loops()
    if known is None or not readable(codes, scales, values, offset):
        return None
    if scales.dtype != torch.float32 or offset.dtype != torch.float32:  # as torch would multiply them
        return None
    if block_size < 1 or scales.numel() * block_size < codes.numel():
        raise ValueError(f"{codes.numel()} codes in blocks of {block_size} need more than {scales.numel()} scales")
    table = (values, torch.float32, (EIGHT_BIT_CODES,))
    check("dequantize_scales", (codes, torch.uint8, codes.shape), table, (offset, torch.float32, ()))
    out = scales.new_empty(codes.numel())
    pointers = codes.data_ptr(), scales.data_ptr(), values.data_ptr()
    known["dequantize_scales"](*pointers, codes.numel(), block_size, offset.data_ptr(), out.data_ptr())
    return out


@functools.cache
def loops() -> dict[str, Any] | None:
    """The loops by their names, or None where this installation has none."""
    return load("quant/four_bits", dict.fromkeys(_NAMES.values(), "pppiipi") | {"dequantize_scales": "pppiipp"})

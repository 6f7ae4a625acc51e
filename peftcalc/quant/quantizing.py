"""Quantize a tensor, and get it back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from peftcalc.quant.absmax import pack_integers, quantize_absmax, quantize_affine, quantize_zero_point
from peftcalc.quant.blockwise import quantize_4bit
from peftcalc.quant.formats import Layout, Per, make_layout
from peftcalc.quant.inputs import as_tensor, check_finite, need_memory
from peftcalc.quant.mxfp4 import quantize_mxfp4
from peftcalc.quant.nested import quantize_scales
from peftcalc.quant.quantized import Quantized

_INTEGERS = {"absmax": quantize_absmax, "zeropoint": quantize_zero_point, "affine": quantize_affine}


def quantize(
    x: Any,
    format: str = "nf4",  # noqa: A002  the contract's name
    *,
    block_size: int | None = None,
    double_quant: bool = False,
    per: Per | None = None,
) -> Quantized:
    """`x` in fewer bits: codes, and the scales that turn them back into numbers.

    Args:
        x: torch tensor or numpy array of finite floats, any shape, on any device. float64 is rounded to float32 first.
        format: "nf4" or "fp4", in blocks, as bitsandbytes writes them; "mxfp4", OCP's (see
            `peftcalc.quant.mxfp4`); "int8", "int4" or "int2" (absmax), these with "_zeropoint" (the tutorials'
            convention) or "_affine" (torch.ao's); see `peftcalc.quant.absmax`.
        block_size: neighbours that share a scale, 16 to 4,096; when not given 64 for nf4 and fp4, 32 for mxfp4.
        double_quant: nf4 and fp4 only: store the block scales in 8 bits (QLoRA paper, section 3).
        per: for integer formats which numbers share a scale: the "tensor", a "row" (along the last dimension), or a
            "block"; "block" when a block size is given, else "tensor".

    Returns:
        a `Quantized`, with `.codes`, `.scales`, `.bits_per_value`, `.nbytes` and `.dequantize()`.

    Raises:
        ValueError: for NaN, infinity, an empty or an integer tensor, a block size outside its range, choices that
            contradict each other, or a tensor that does not fit into memory.

    >>> import torch
    >>> quantized = quantize(torch.tensor([0.5, -1.0, 0.0, 0.25]), "nf4")
    >>> quantized.codes.tolist(), quantized.scales.tolist(), quantized.bits_per_value
    ([192, 122], [1.0], 4.5)
    >>> quantized.dequantize()
    tensor([ 0.4407, -1.0000,  0.0000,  0.2461])
    """
    layout = make_layout(format, block_size, double_quant, per)
    numbers = as_tensor(x)
    copied = 0 if numbers.is_contiguous() else numbers.element_size()
    working = {"table": 0, "mx": 1}.get(layout.form.scheme, 24)
    need_memory(numbers.numel() * (layout.form.bits / 8 + copied + working), "quantizing x", numbers.device)
    store = {"table": _in_table, "mx": _in_mxfp4}.get(layout.form.scheme, _in_integers)
    with torch.no_grad():
        return store(numbers, layout, isinstance(x, np.ndarray | np.generic))


def _in_table(numbers: Tensor, layout: Layout, is_numpy: bool) -> Quantized:
    assert layout.block_size is not None
    codes, scales = quantize_4bit(numbers, layout.form.name, layout.block_size)
    check_finite(scales, numbers)
    nested = quantize_scales(scales) if layout.double_quant else None
    shape = tuple(numbers.shape)
    return Quantized(layout, shape, numbers.dtype, codes, None if nested else scales, None, nested, is_numpy)


def _in_mxfp4(numbers: Tensor, layout: Layout, is_numpy: bool) -> Quantized:
    assert layout.block_size is not None
    codes, scales = quantize_mxfp4(numbers, layout.block_size)
    return Quantized(layout, tuple(numbers.shape), numbers.dtype, codes, scales, None, None, is_numpy)


def _in_integers(numbers: Tensor, layout: Layout, is_numpy: bool) -> Quantized:
    shape, count = tuple(numbers.shape), numbers.numel()
    size = layout.group_size(shape, count)
    flat = numbers.reshape(-1).float()
    check_finite(torch.stack(torch.aminmax(flat)), numbers)
    full = count - count % size
    parts = [flat[:full].view(-1, size)] if full else []
    if full < count:
        parts.append(flat[full:].unsqueeze(0))  # the last, shorter block has its own scale
    groups = [_INTEGERS[layout.form.scheme](part, layout.form.bits) for part in parts]
    codes = torch.cat([group.codes.reshape(-1) for group in groups])
    codes = codes.view(shape) if layout.form.bits == 8 else pack_integers(codes, layout.form.bits)
    zeros = [group.zero_points for group in groups if group.zero_points is not None]
    scales = torch.cat([group.scales for group in groups])
    return Quantized(layout, shape, numbers.dtype, codes, scales, torch.cat(zeros) if zeros else None, None, is_numpy)

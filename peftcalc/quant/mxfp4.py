"""MXFP4 of the OCP Microscaling Formats (MX) Specification v1.0: 32 numbers in E2M1 share a power of two.

An element has one sign bit, two exponent bits (bias 1) and one fraction bit, so that it is 0, ½, 1, 1½, 2, 3, 4 or 6
with a sign (section 5.3.3; there is no infinity and no NaN). The scale is E8M0: one byte e that stands for
`2^(e − 127)`, 255 for NaN (section 5.4.1). A number is `element · scale`.

- The scale (section 6.3): `2^(⌊log₂ max|x|⌋ − 2)`, the largest power of two that is no larger than the largest
  magnitude, over that of the element format, `4 = 2²`. It is no smaller than `2⁻¹²⁷`; a block of zeros has that one.
- The element (section 6.3): `x / scale` in the element format; a quotient beyond 6, which may be anything below 8, is
  clamped to 6.
- Rounding: to the nearest value, and half way between two to the even one, whose fraction bit is 0, as IEEE 754 rounds
  by default. So do torchao, ml_dtypes and microxcaling's "even". Others differ on ties alone: gguf takes the smaller
  magnitude, microxcaling's default the larger.

Two codes share a byte, the first in the low nibble, as in gpt-oss's files and in torch's `float4_e2m1fn_x2`; the
specification leaves the order in memory open. Another block size than 32 is the same rule, and no longer MXFP4.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from peftcalc.quant.blockwise import multiply_blocks
from peftcalc.quant.formats import MX_BLOCK
from peftcalc.quant.inputs import check_finite
from peftcalc.quant.tables import E2M1_VALUES, kept

LARGEST_EXPONENT = 2
"""Of an element: 6 = 1½ · 2²."""
SCALE_BIAS = 127
NOT_A_NUMBER = 255
"""The scale that stands for NaN."""

_PIECE = 1 << 17


def quantize_mxfp4(numbers: Tensor, block_size: int = MX_BLOCK) -> tuple[Tensor, Tensor]:
    """Packed codes, (⌈n / 2⌉,) uint8, and scales, (⌈n / block_size⌉,) uint8, of n finite numbers.

    >>> codes, scales = quantize_mxfp4(torch.tensor([1.0, -0.7, 0.1, 7.0]))
    >>> unpack_mxfp4(codes, 4), scales  # 7 lies between 4 and 8: the scale is 2⁰, and 7 becomes 6
    (tensor([2, 9, 0, 7], dtype=torch.uint8), tensor([127], dtype=torch.uint8))
    """
    flat = numbers.detach().reshape(-1)
    count = flat.numel()
    codes = torch.empty(count + count % 2, dtype=torch.uint8, device=flat.device)
    codes[count:] = 0
    scales = torch.empty(-(-count // block_size), dtype=torch.uint8, device=flat.device)
    for start, stop in _pieces(count, block_size):
        x = flat[start:stop].float()
        groups = slice(start // block_size, -(-stop // block_size))
        scales[groups] = _scales(x, block_size, start)
        multiply_blocks(x := x.clone(), _power_of_two(2 * SCALE_BIAS - scales[groups].int()), block_size)
        codes[start:stop] = _nearest(x)
    return codes[0::2] | codes[1::2] << 4, scales


def dequantize_mxfp4(
    packed: Tensor, scales: Tensor, count: int, block_size: int = MX_BLOCK, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The `count` numbers that codes and scales stand for, (count,): `element · 2^(e − 127)`, exact in float32.

    >>> dequantize_mxfp4(torch.tensor([0x92, 0x70], dtype=torch.uint8), torch.tensor([127], dtype=torch.uint8), 4)
    tensor([ 1.0000, -0.5000,  0.0000,  6.0000])
    """
    out = torch.empty(count, dtype=dtype, device=packed.device)
    values, factors = _values(packed.device), scale_values(scales)
    for start, stop in _pieces(count, block_size):
        codes = unpack_mxfp4(packed[start // 2 : (stop + 1) // 2], stop - start)
        numbers = values.index_select(0, codes.int())
        multiply_blocks(numbers, factors[start // block_size : -(-stop // block_size)], block_size)
        out[start:stop] = numbers
    return out


def unpack_mxfp4(packed: Tensor, count: int) -> Tensor:
    """The codes 0 … 15, (count,) uint8, of packed bytes.

    >>> unpack_mxfp4(torch.tensor([0x21, 0x43], dtype=torch.uint8), 4)
    tensor([1, 2, 3, 4], dtype=torch.uint8)
    """
    return torch.stack((packed & 15, packed >> 4), dim=1).reshape(-1)[:count]


def scale_values(scales: Tensor) -> Tensor:
    """What E8M0 bytes stand for, float32: `2^(e − 127)`, and NaN for 255.

    >>> scale_values(torch.tensor([126, 127, 130], dtype=torch.uint8))
    tensor([0.5000, 1.0000, 8.0000])
    """
    return _power_of_two(scales.int()).masked_fill_(scales == NOT_A_NUMBER, float("nan"))


def _power_of_two(e: Tensor) -> Tensor:
    """`2^(e − 127)` for whole numbers e from 0 to 254, by writing float32's exponent; 2⁻¹²⁷ is subnormal there."""
    return torch.where(e == 0, 1 << 22, e << 23).int().view(torch.float32)


def _scales(x: Tensor, block_size: int, first: int) -> Tensor:
    """E8M0 byte of each block: the exponent bits of its largest magnitude, less two; both have the bias 127."""
    padded = torch.nn.functional.pad(x, (0, -x.numel() % block_size)).view(-1, block_size)
    largest = padded.abs().amax(dim=1)
    check_finite(largest, x, first)
    return ((largest.view(torch.int32) >> 23) - LARGEST_EXPONENT).clamp_(min=0).to(torch.uint8)


def _nearest(quotients: Tensor) -> Tensor:
    """Code of the value nearest to each quotient, ties to even, (n,) uint8.

    The values are ½ apart up to 2, 1 apart up to 4 and 2 apart beyond: code `round(2a)`, `round(a) + 2` and
    `round(a / 2) + 4` there. Each of the three is too large where another one counts, so the least is taken. `round`
    takes the even whole number, and even codes are the values whose fraction bit is 0.
    """
    size = quotients.abs()
    codes = torch.mul(size, 2).round_()
    torch.minimum(codes, size.round().add_(2), out=codes)
    torch.minimum(codes, size.mul_(0.5).round_().add_(4), out=codes)
    return codes.clamp_(max=7).to(torch.uint8).bitwise_or_(torch.signbit(quotients).to(torch.uint8) << 3)


@kept
def _values(device: torch.device) -> Tensor:
    return torch.tensor(E2M1_VALUES, device=device)


def _pieces(count: int, block_size: int) -> Iterator[tuple[int, int]]:
    """Start and stop of pieces of whole blocks and whole bytes."""
    pair = 2 * block_size
    step = max(1, _PIECE // pair) * pair
    for start in range(0, count, step):
        yield start, min(start + step, count)

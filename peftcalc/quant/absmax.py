"""Integer quantization: one scale for a group of numbers, and evenly spaced codes.

**Absmax** (symmetric): `q = round(x · (2^(b−1) − 1) / max|x|)`, `x̂ = q / (2^(b−1) − 1) · max|x|`. Zero stays zero.

**Zero-point** (affine) also shifts, so that both ends of the range are used. Two conventions are in use:

- `zeropoint`, of the tutorials: `s = (2^b − 1) / (max − min)`, `z = round(−s · min) − 2^(b−1)`,
  `q = round(s · x + z)`, `x̂ = (q − z) / s`.
- `affine`, of torch.ao: the range is first widened to include 0, so that 0 is stored exactly:
  `Δ = (max − min) / (2^b − 1)`, `z = −2^(b−1) − round(min / Δ)`, `q = round(x / Δ) + z`, `x̂ = (q − z) · Δ`.

Rounding is half to even. Groups are the rows of a matrix (groups, numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_STEP = torch.finfo(torch.float32).eps
"""torch.ao makes no step smaller than this, whatever the range."""


@dataclass(frozen=True, eq=False)
class IntegerGroups:
    """Groups of integers, and what they stand for.

    Args:
        codes: (groups, numbers), int8, from −2^(b−1) to 2^(b−1) − 1.
        scales: (groups,), float32: absmax's largest magnitude; the length of one step in the zero-point conventions.
        zero_points: (groups,), float32: the code of zero; None for absmax.
    """

    codes: Tensor
    scales: Tensor
    zero_points: Tensor | None


def quantize_absmax(groups: Tensor, bits: int) -> IntegerGroups:
    """Absmax codes of each row; for 8 bits those of bitsandbytes' `int8_vectorwise_quant`.

    A row whose factor `(2^(b−1) − 1) / max|x|` exceeds float32 (max|x| below 3.7e-37 for 8 bits) is stored as zeros.

    >>> quantize_absmax(torch.tensor([[0.1, -0.5, 1.0]]), bits=8).codes
    tensor([[ 13, -64, 127]], dtype=torch.int8)
    """
    groups = groups.float()
    absmax = groups.abs().amax(dim=1)
    factor = (2 ** (bits - 1) - 1) / absmax
    scaled = groups * factor.masked_fill_(torch.isinf(factor), 0).unsqueeze(1)
    return IntegerGroups(scaled.round_().to(torch.int8), absmax, None)


def quantize_zero_point(groups: Tensor, bits: int) -> IntegerGroups:
    """Codes of each row in the tutorials' convention; a row of equal numbers is taken as wide as it is large.

    >>> quantize_zero_point(torch.tensor([[0.0, 1.0, 2.55]]), bits=8).codes
    tensor([[-128,  -28,  127]], dtype=torch.int8)
    """
    groups = groups.double()
    low, high = torch.aminmax(groups, dim=1)
    width = high - low
    width = torch.where(width > 0, width, torch.where(low == 0, 1, low.abs()))
    step = (width / (2**bits - 1)).clamp(min=torch.finfo(torch.float32).smallest_normal).float()
    zero = (torch.round(-low / step.double()) - 2 ** (bits - 1)).float()
    codes = torch.round(groups / step.double().unsqueeze(1) + zero.double().unsqueeze(1))
    return IntegerGroups(_clip(codes, bits), step, zero)


def quantize_affine(groups: Tensor, bits: int) -> IntegerGroups:
    """Codes of each row in torch.ao's convention (`MinMaxObserver`, then `fake_quantize_per_channel_affine`).

    >>> quantize_affine(torch.tensor([[1.0, 2.0, 2.55]]), bits=8).codes
    tensor([[-28,  72, 127]], dtype=torch.int8)
    """
    groups = groups.float()
    low, high = torch.aminmax(groups, dim=1)
    low, high = low.clamp(max=0), high.clamp(min=0)
    step = (high / (2**bits - 1) - low / (2**bits - 1)).clamp(min=SMALLEST_STEP)
    bottom = -(2 ** (bits - 1))
    zero = (bottom - torch.round(low / step)).clamp(bottom, -bottom - 1)
    codes = torch.round(groups * (1.0 / step).unsqueeze(1)) + zero.unsqueeze(1)
    return IntegerGroups(_clip(codes, bits), step, zero)


def dequantize_integers(groups: IntegerGroups, bits: int) -> Tensor:
    """What the codes stand for, (groups, numbers), float32.

    >>> dequantize_integers(quantize_absmax(torch.tensor([[0.1, -0.5, 1.0]]), bits=8), bits=8)
    tensor([[ 0.1024, -0.5039,  1.0000]])
    """
    scale = groups.scales.unsqueeze(1)
    if groups.zero_points is None:
        return groups.codes.float().div_(2 ** (bits - 1) - 1).mul_(scale)
    return groups.codes.float().sub_(groups.zero_points.unsqueeze(1)).mul_(scale)


def pack_integers(codes: Tensor, bits: int) -> Tensor:
    """Signed codes, (n,) int8, in `8 / bits` to a byte, (⌈n · bits / 8⌉,) uint8; the first in the highest bits.

    >>> pack_integers(torch.tensor([1, -1, 7], dtype=torch.int8), bits=4)
    tensor([ 31, 112], dtype=torch.uint8)
    """
    per_byte = 8 // bits
    codes = torch.nn.functional.pad(codes, (0, -codes.numel() % per_byte)).view(torch.uint8) & (2**bits - 1)
    packed = torch.zeros(codes.numel() // per_byte, dtype=torch.uint8, device=codes.device)
    for place in range(per_byte):
        packed |= codes[place::per_byte] << (8 - bits * (place + 1))
    return packed


def unpack_integers(packed: Tensor, bits: int, count: int) -> Tensor:
    """The reverse of `pack_integers`, (count,) int8.

    >>> unpack_integers(torch.tensor([31, 112], dtype=torch.uint8), bits=4, count=3)
    tensor([ 1, -1,  7], dtype=torch.int8)
    """
    per_byte, mask, sign = 8 // bits, 2**bits - 1, 2 ** (bits - 1)
    parts = torch.stack([(packed >> (8 - bits * (place + 1))) & mask for place in range(per_byte)], dim=1)
    return ((parts.reshape(-1)[:count] ^ sign).to(torch.int16) - sign).to(torch.int8)  # sign extension


def _clip(codes: Tensor, bits: int) -> Tensor:
    return codes.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)

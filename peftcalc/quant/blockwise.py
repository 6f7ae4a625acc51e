"""Blockwise 4-bit quantization, byte for byte as bitsandbytes writes it, and faster.

Each block of `block_size` numbers is divided by its largest magnitude ("absmax"), and each quotient is replaced by the
nearest of sixteen values. Two codes share a byte, the first in the high nibble. (QLoRA paper, section 3, eq. 1–3.)

Where the speed comes from: work is done in pieces that stay in the processor's cache, in buffers that every piece uses
again; the nearest code is looked up rather than searched for; a byte is dequantized to two numbers at once, or sixteen
bytes to thirty-two where `four_bits.py` found its loop; and a large result lies in large pages.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from peftcalc.quant import large
from peftcalc.quant.four_bits import dequantize_blocks
from peftcalc.quant.inputs import check_finite
from peftcalc.quant.tables import CELLS, byte_pairs, code_cells, four_bit_table

QUANTIZE_PIECE = 1 << 19
"""Numbers quantized at a time: two megabytes of float32, and as much at most steps."""

DEQUANTIZE_PIECE = 1 << 19
"""Numbers dequantized at a time by one thread; by two and more, twice as many, since each meeting of threads costs."""

SMALLEST_ABSMAX = 1e-38
"""A block below this would have an infinite reciprocal; it is divided by this instead."""


def quantize_4bit(numbers: Tensor, table: str = "nf4", block_size: int = 64) -> tuple[Tensor, Tensor]:
    """Packed codes, (⌈n / 2⌉,) uint8, and block scales, (⌈n / block_size⌉,) float32, of n finite numbers.

    `code = nearest(x · (1 / absmax))`: the reciprocal, because a true division changes one byte in eight million.

    Args:
        numbers: any shape, read in row-major order, of a floating type.
        table: "nf4" or "fp4".
        block_size: how many neighbours share a scale.

    >>> quantize_4bit(torch.tensor([0.5, -1.0, 0.0, 0.25]))
    (tensor([192, 122], dtype=torch.uint8), tensor([1.]))
    """
    flat = numbers.detach().reshape(-1)
    packed = torch.empty((flat.numel() + 1) // 2, dtype=torch.uint8, device=flat.device)
    scales = torch.empty(-(-flat.numel() // block_size), dtype=torch.float32, device=flat.device)
    buffers: _Buffers | None = None
    for start, stop in _pieces(flat, block_size, QUANTIZE_PIECE):
        buffers = buffers or _Buffers(stop - start, flat.device)
        quotients = buffers.quotients[: stop - start + (stop - start) % 2]
        quotients[stop - start :] = 0  # the last number's missing partner
        of_piece = scales[start // block_size : -(-stop // block_size)]
        _normalise(flat[start:stop], block_size, of_piece, out=quotients[: stop - start], first=start)
        _pack(_nearest(quotients, table, buffers), packed[start // 2 : (stop + 1) // 2])
    return packed, scales


def dequantize_4bit(
    packed: Tensor,
    scales: Tensor,
    count: int,
    table: str = "nf4",
    block_size: int = 64,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The `count` numbers that packed codes and block scales stand for, (count,): `value[code] · absmax`.

    The product is taken in float32 and then rounded to `dtype`.

    >>> dequantize_4bit(torch.tensor([192, 122], dtype=torch.uint8), torch.tensor([1.0]), 4)
    tensor([ 0.4407, -1.0000,  0.0000,  0.2461])
    """
    out = large.empty(2 * packed.numel(), dtype, like=packed)[:count]
    values = four_bit_table(table, packed.device).values
    done = dequantize_blocks(packed, scales, values, block_size, out)
    if done < count:
        _dequantize_in_pieces(packed[done // 2 :], scales[done // block_size :], table, block_size, out[done:])
    return out


def _dequantize_in_pieces(packed: Tensor, scales: Tensor, table: str, block_size: int, out: Tensor) -> None:
    """What `dequantize_4bit` returns, in torch's operations, into `out`, (count,)."""
    pairs = byte_pairs(table, packed.device)
    in_place = (
        out.dtype == torch.float32 and out.numel() % 2 == 0
    )  # the values are gathered where the numbers will stand
    codes = buffer = torch.empty(0)
    piece = DEQUANTIZE_PIECE * min(2, torch.get_num_threads())
    for start, stop in _pieces(out, block_size, piece):
        if start == 0:
            codes = torch.empty((stop + 1) // 2, dtype=torch.int32, device=packed.device)
            buffer = out if in_place else torch.empty(2 * codes.numel(), dtype=torch.float32, device=packed.device)
        of_piece = codes[: (stop - start + 1) // 2]
        of_piece.copy_(packed[start // 2 : (stop + 1) // 2])
        values = buffer[start:] if in_place else buffer
        torch.index_select(pairs, 0, of_piece, out=values[: 2 * of_piece.numel()].view(torch.int64))
        numbers = values[: stop - start]
        multiply_blocks(numbers, scales[start // block_size : -(-stop // block_size)], block_size)
        if not in_place:
            out[start:stop] = numbers


def unpack_4bit(packed: Tensor, count: int) -> Tensor:
    """The codes 0 … 15, (count,) uint8, of packed bytes.

    >>> unpack_4bit(torch.tensor([192, 122], dtype=torch.uint8), 4)
    tensor([12,  0,  7, 10], dtype=torch.uint8)
    """
    return torch.stack((packed >> 4, packed & 15), dim=1).reshape(-1)[:count]


def multiply_blocks(numbers: Tensor, scales: Tensor, block_size: int) -> None:
    """Each of `numbers`, (n,), times the scale of its block, (⌈n / block_size⌉,), in place.

    >>> numbers = torch.ones(5)
    >>> multiply_blocks(numbers, torch.tensor([2.0, 3.0, 4.0]), block_size=2)
    >>> numbers
    tensor([2., 2., 3., 3., 4.])
    """
    full = numbers.numel() - numbers.numel() % block_size
    numbers[:full].view(-1, block_size).mul_(scales[: full // block_size].unsqueeze(1))
    if full < numbers.numel():
        numbers[full:].mul_(scales[-1])


class _Buffers:
    """Room for one piece at every step of quantizing it."""

    def __init__(self, size: int, device: torch.device) -> None:
        size += size % 2
        self.quotients = torch.empty(size, dtype=torch.float32, device=device)
        self.bounds = torch.empty(size, dtype=torch.float32, device=device)
        self.cells = torch.empty(size, dtype=torch.int32, device=device)
        self.above = torch.empty(size, dtype=torch.bool, device=device)
        self.codes = torch.empty(size, dtype=torch.uint8, device=device)


def _pieces(flat: Tensor, block_size: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and stop of pieces of whole blocks and whole bytes. A GPU takes one piece: its memory is the cache."""
    pair = 2 * block_size
    step = max(1, size // pair) * pair if flat.device.type == "cpu" else max(1, flat.numel())
    for start in range(0, flat.numel(), step):
        yield start, min(start + step, flat.numel())


def _normalise(numbers: Tensor, block_size: int, scales: Tensor, out: Tensor, first: int) -> None:
    """Each block divided by its largest magnitude into `out`, (n,); that into `scales`, (⌈n / block_size⌉,).

    `first` is the position of these numbers in the whole tensor.
    """
    full = numbers.numel() - numbers.numel() % block_size
    if full:
        blocks = numbers[:full].view(-1, block_size).float()  # (blocks, block_size)
        target = out[:full].view(-1, block_size)
        scale = torch.abs(blocks, out=target).amax(dim=1)
        torch.mul(blocks, scale.clamp(min=SMALLEST_ABSMAX).reciprocal_().unsqueeze(1), out=target)
        scales[: full // block_size] = scale
    if full < numbers.numel():  # bitsandbytes divides in the last, shorter block, where it multiplies in the others
        rest = numbers[full:].float()
        scales[-1] = rest.abs().max().clamp(min=SMALLEST_ABSMAX)
        torch.div(rest, scales[-1], out=out[full:])
    check_finite(scales, numbers, first)


def _nearest(quotients: Tensor, table: str, buffers: _Buffers) -> Tensor:
    """Code of the value nearest to each quotient, (n,) uint8; a quotient half way between two takes the lower one.

    Cutting [−1, 1] into cells leaves at most one midpoint between neighbouring values in a cell: a quotient's cell
    tells its code but for one comparison. That is three passes over the numbers instead of a search through fifteen
    midpoints.
    """
    tables = code_cells(table, quotients.device)
    count = quotients.numel()
    bounds, cells = buffers.bounds[:count], buffers.cells[:count]
    above, codes = buffers.above[:count], buffers.codes[:count]
    cells.copy_(torch.add(quotients, 1.0, out=bounds).mul_(CELLS / 2))
    torch.index_select(tables.codes, 0, cells, out=codes)
    torch.index_select(tables.bounds, 0, cells, out=bounds)
    codes += torch.gt(quotients, bounds, out=above).view(torch.uint8)
    return codes if tables.order is None else tables.order.index_select(0, codes.int())


def _pack(codes: Tensor, out: Tensor) -> None:
    """Two codes a byte, the first in the high nibble, read two at a time as one little-endian 16-bit number."""
    pairs = codes.view(torch.int16)
    out.copy_((pairs << 4).bitwise_or_(pairs >> 8))

"""Double quantization: the block scales are themselves stored in 8 bits. (QLoRA paper, section 3, "Double
Quantization".)

The scales are centred on their mean, and quantized in blocks of 256 to the nearest value of the signed 8-bit dynamic
map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from peftcalc.quant.blockwise import multiply_blocks
from peftcalc.quant.four_bits import dequantize_scales
from peftcalc.quant.tables import dynamic_table, kept

NESTED_BLOCK = 256
"""How many block scales share one scale of their own."""

GRID = 65_535
"""bitsandbytes' native kernel first rounds each quotient to one of 65,536 equal steps from −1 to 1."""


@dataclass(frozen=True, eq=False)
class NestedScales:
    """Block scales that are quantized themselves.

    Args:
        codes: one byte a block, (blocks,), in the dynamic map.
        scales: largest magnitude of every 256 centred scales, (⌈blocks / 256⌉,), float32.
        offset: mean of the scales before centring, (), float32.
    """

    codes: Tensor
    scales: Tensor
    offset: Tensor

    def dequantize(self) -> Tensor:
        """The block scales, (blocks,), float32."""
        table = dynamic_table(self.codes.device).values
        scales = dequantize_scales(self.codes, self.scales, table, NESTED_BLOCK, self.offset)
        if scales is not None:
            return scales
        values = table.index_select(0, self.codes.int())
        multiply_blocks(values, self.scales, NESTED_BLOCK)
        return values.add_(self.offset)

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and offset."""
        return self.codes.nbytes + self.scales.nbytes + self.offset.nbytes


def quantize_scales(scales: Tensor) -> NestedScales:
    """Block scales, (blocks,), in one byte each: `code = nearest((scale − mean) / absmax)`.

    The quotient is rounded to a grid of 65,536 steps before the nearest value is looked up, as bitsandbytes' CPU kernel
    does. Its CUDA kernel looks up the quotient itself; the two differ by a code where the map is finer than the grid,
    by less than 2 · 10⁻⁵ of the block's largest centred scale.

    Raises:
        ValueError: when the scales are so large that their mean exceeds float32.

    >>> quantize_scales(torch.tensor([1.0, 2.0, 3.0])).dequantize()
    tensor([1.0070, 2.0000, 3.0000])
    """
    offset = scales.cpu().mean().to(scales.device)  # summed in one order, so that every device agrees
    if not torch.isfinite(offset):
        raise ValueError(
            "double_quant must be off for scales this large: their mean must be below 3.4e38 (float32), "
            f"got scales up to {scales.max().item():.3g}"
        )
    centred = scales - offset
    padded = torch.nn.functional.pad(centred, (0, -centred.numel() % NESTED_BLOCK)).view(-1, NESTED_BLOCK)
    largest = padded.abs().amax(dim=1)
    quotients = centred * _spread(1.0 / largest, centred.numel())
    steps = (quotients.clamp_(-1, 1).add_(1) * 0.5 * GRID + 0.5).nan_to_num_(0).int()  # 0 · ∞ in a block without spread
    return NestedScales(_codes_of_steps(scales.device).index_select(0, steps), largest, offset)


@kept
def _codes_of_steps(device: torch.device) -> Tensor:
    """Code of the value nearest to each step of the grid, (65,536,) uint8."""
    table = dynamic_table(device)
    steps = -1 + 2 * torch.arange(GRID + 1, dtype=torch.float32, device=device) / GRID
    return torch.bucketize(steps, table.bounds).to(torch.uint8)


def _spread(scales: Tensor, count: int) -> Tensor:
    """The scale of each of `count` numbers, in blocks of 256."""
    return scales.repeat_interleave(NESTED_BLOCK)[:count]

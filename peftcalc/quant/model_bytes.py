"""What a whole model takes at each format: its matrices in few bits, everything else in 16."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from peftcalc.quant.formats import NESTED_BLOCK, Layout, make_layout

OTHER_BYTES = 2
"""Bytes of a number that is not quantized: embeddings, output head, norms and biases stay in bfloat16."""


@dataclass(frozen=True)
class ModelBytes:
    """Bytes of a model's weights.

    Args:
        format: of the matrices.
        code_bytes: of their codes.
        scale_bytes: of their scales, zero points, and what double quantization adds.
        other_bytes: of everything that is not quantized.
    """

    format: str
    code_bytes: int
    scale_bytes: int
    other_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.code_bytes + self.scale_bytes + self.other_bytes


def model_bytes(
    matrices: Iterable[tuple[int, int]],
    other_parameters: int,
    format: str,  # noqa: A002
    block_size: int | None = None,
    double_quant: bool = False,
) -> ModelBytes:
    """Bytes of a model whose matrices are stored in `format`, to the byte as `Quantized.nbytes` counts them.

    Args:
        matrices: (numbers in a matrix, how many such matrices) for each quantized kind.
        other_parameters: numbers that stay in 16 bits.
        format: as for `quantize`, and so are `block_size` and `double_quant`; integer formats without a block size
            have one scale a matrix, nf4 and fp4 blocks of 64, mxfp4 blocks of 32.

    >>> in_nf4 = model_bytes([(4096 * 4096, 32)], 0, "nf4")
    >>> nested = model_bytes([(4096 * 4096, 32)], 0, "nf4", double_quant=True)
    >>> numbers = 32 * 4096**2
    >>> in_nf4.total_bytes * 8 / numbers, round((in_nf4.total_bytes - nested.total_bytes) * 8 / numbers, 5)
    (4.5, 0.37304)
    """
    layout = make_layout(format, block_size, double_quant)
    codes = scales = 0
    for count, repeats in matrices:
        codes += repeats * -(-count * layout.form.bits // 8)
        scales += repeats * scale_bytes(count, layout)
    return ModelBytes(layout.form.name, codes, scales, OTHER_BYTES * other_parameters)


def scale_bytes(count: int, layout: Layout) -> int:
    """Bytes of the scales of one tensor of `count` numbers, in blocks or as a whole.

    >>> scale_bytes(4096, make_layout("nf4")), scale_bytes(4096, make_layout("nf4", double_quant=True))
    (256, 72)
    """
    groups = 1 if layout.block_size is None else -(-count // layout.block_size)
    if layout.double_quant:
        return groups + 4 * -(-groups // NESTED_BLOCK) + 4  # codes, their scales, and the mean
    return groups * layout.form.scale_bits // 8

"""Eight weights, one step at a time: maximum, normalised, nearest code, packed byte, dequantized, error.

Everything that a step shows was returned by `quantize` itself, or is one named operation away from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from peftcalc.quant.formats import SMALLEST_BLOCK
from peftcalc.quant.quantizing import quantize
from peftcalc.quant.tables import FOUR_BIT_VALUES

MOST = SMALLEST_BLOCK
"""Numbers in one block at most."""


@dataclass(frozen=True)
class Steps:
    """One block on its way to few bits and back.

    Args:
        format: "int8", "int4", "int2", "nf4" or "fp4".
        weights: the numbers, as float32.
        absmax: the largest magnitude: the block's scale.
        normalised: `x / absmax` for a table of values, `x · (2^(b−1) − 1) / absmax` for integers.
        codes: of the nearest value.
        code_values: what each code stands for before it is multiplied by the scale.
        grid: every value that a code can have, ascending.
        packed: the bytes that are stored.
        dequantized: what the bytes stand for.
        errors: `dequantized − weights`.
    """

    format: str
    weights: tuple[float, ...]
    absmax: float
    normalised: tuple[float, ...]
    codes: tuple[int, ...]
    code_values: tuple[float, ...]
    grid: tuple[float, ...]
    packed: tuple[int, ...]
    dequantized: tuple[float, ...]
    errors: tuple[float, ...]


def steps(weights: Sequence[float], format: str = "nf4") -> Steps:  # noqa: A002
    """The steps of one block of 1 to 16 numbers.

    Raises:
        ValueError: for more numbers, another format, NaN or infinity.

    >>> taken = steps([0.5, -1.0, 0.0, 0.25], "nf4")
    >>> taken.absmax, taken.codes, [f"{byte:08b}" for byte in taken.packed]
    (1.0, (12, 0, 7, 10), ['11000000', '01111010'])
    """
    if not 1 <= len(weights) <= MOST:
        raise ValueError(f"weights must be 1 to {MOST} numbers, got {len(weights)}")
    x = torch.tensor([float(weight) for weight in weights], dtype=torch.float32)
    quantized = quantize(x, format, block_size=MOST)
    form = quantized.layout.form
    if form.scheme not in ("table", "absmax"):
        raise ValueError(f"format must be an absmax format, nf4 or fp4 to be shown in steps, got {form.name!r}")
    codes, absmax = quantized.code_values().tolist(), quantized.scales.item()
    if form.scheme == "table":
        values, top = FOUR_BIT_VALUES[form.name], 1
        code_values, grid = [values[code] for code in codes], sorted(set(values))
    else:
        top = 2 ** (form.bits - 1) - 1
        code_values, grid = [float(code) for code in codes], [float(code) for code in range(-top, top + 1)]
    dequantized = quantized.dequantize()
    return Steps(
        format=form.name,
        weights=tuple(x.tolist()),
        absmax=absmax,
        normalised=tuple((x / absmax * top if absmax else x).tolist()),
        codes=tuple(codes),
        code_values=tuple(code_values),
        grid=tuple(grid),
        packed=tuple(quantized.codes.view(torch.uint8).tolist()),
        dequantized=tuple(dequantized.tolist()),
        errors=tuple((dequantized - x).tolist()),
    )

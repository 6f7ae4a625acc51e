"""The values that a 4-bit or 8-bit code can stand for, as published and as bitsandbytes stores them.

NF4: QLoRA paper (arXiv:2305.14314), appendix E. FP4 here is bitsandbytes' own table, which is not the E2M1 of other
hardware: name the table when you quote a figure. The dynamic map: Dettmers 2016, arXiv:1511.04561.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

NF4_VALUES = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
_FP4_POSITIVE = tuple(value / 12 for value in (0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0))
FP4_VALUES = _FP4_POSITIVE + tuple(-value for value in _FP4_POSITIVE)
FOUR_BIT_VALUES = {"nf4": NF4_VALUES, "fp4": FP4_VALUES}
_E2M1_POSITIVE = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
E2M1_VALUES = _E2M1_POSITIVE + tuple(-value for value in _E2M1_POSITIVE)
"""Of the codes 0 to 15 of MXFP4, the sign in the highest bit (OCP MX v1.0, section 5.3.3)."""
CODE_VALUES = {**FOUR_BIT_VALUES, "mxfp4": E2M1_VALUES}
"""Every format whose codes are a table of values."""

CELLS = 1024
"""Cells of the number line in which a nearest value is looked up; no two midpoints of NF4 or FP4 share one."""


Made = TypeVar("Made")


def kept(make: Callable[..., Made]) -> Callable[..., Made]:
    """Make a table once and keep it: of real numbers, even when it is first asked for while a step is traced on fake
    tensors, which have none."""

    @functools.cache
    @functools.wraps(make)
    def of_real_numbers(*arguments: Any) -> Made:
        with unset_fake_temporarily():
            return make(*arguments)

    return of_real_numbers


@dataclass(frozen=True)
class CodeTable:
    """Values of the codes, and how to find the nearest.

    Args:
        values: value of each code, (codes,), float32.
        bounds: midpoints between neighbouring values, ascending, (codes − 1,). A number on a midpoint takes the lower
            value.
        order: code of each value in ascending order, (codes,), uint8; None when codes ascend already.
    """

    values: torch.Tensor
    bounds: torch.Tensor
    order: torch.Tensor | None


@kept
def four_bit_table(name: str, device: torch.device | None = None) -> CodeTable:
    """The sixteen values of "nf4" or "fp4"."""
    return _table(torch.tensor(FOUR_BIT_VALUES[name], dtype=torch.float32), device)


@kept
def dynamic_table(device: torch.device | None = None) -> CodeTable:
    """The 256 values of the signed 8-bit dynamic map, in which double quantization stores block scales.

    A value has a sign, a decimal exponent from −6 to 0 and a fraction; a larger exponent leaves more bits to the
    fraction: at 10^(e−6) there are 2^e fractions, the midpoints of as many equal steps from 0.1 to 1.
    """
    values = [0.0, 1.0]
    for exponent in range(7):
        edges = torch.linspace(0.1, 1, 2**exponent + 1, dtype=torch.float32)
        fractions = (10 ** (exponent - 6)) * ((edges[:-1] + edges[1:]) / 2.0)
        values += fractions.tolist() + (-fractions).tolist()
    return _table(torch.tensor(sorted(values), dtype=torch.float32), device)


@dataclass(frozen=True)
class CodeCells:
    """The sixteen values by cell of the number line: [−1, 1] is cut into `CELLS` equal cells.

    Args:
        codes: rank of the value nearest to the cell's numbers below its midpoint, (CELLS + 1,), uint8.
        bounds: the midpoint that lies in the cell, above which the next rank is nearest; infinity in most,
            (CELLS + 1,).
        order: code of each rank, (16,), uint8; None when codes ascend with their values.
    """

    codes: torch.Tensor
    bounds: torch.Tensor
    order: torch.Tensor | None


@kept
def code_cells(name: str, device: torch.device | None = None) -> CodeCells:
    """The cells of "nf4" or "fp4".

    The cell of a number is found in float32, `int((x + 1) · CELLS / 2)`, here as in quantizing. That never falls as x
    rises, so a midpoint parts the numbers of its own cell and no others, rounding included.
    """
    table = four_bit_table(name)
    cells = ((table.bounds + 1.0) * (CELLS / 2)).int()  # of the midpoints; all different
    bounds = torch.full((CELLS + 1,), float("inf"))
    bounds[cells.long()] = table.bounds
    codes = torch.bucketize(torch.arange(CELLS + 1, dtype=torch.int32), cells).to(torch.uint8)
    order = None if table.order is None else table.order.to(device)
    return CodeCells(codes.to(device), bounds.to(device), order)


@kept
def byte_pairs(name: str, device: torch.device | None = None) -> torch.Tensor:
    """For each byte of two packed codes its two float32 values, as one int64: (256,).

    One gather then yields two numbers, and the result is viewed as float32.
    """
    values = four_bit_table(name, device).values
    byte = torch.arange(256, device=device)
    pairs = torch.stack((values[byte >> 4], values[byte & 15]), dim=1)  # (256, 2), first element in the high nibble
    return pairs.contiguous().view(torch.int64).reshape(256)


def _table(values: torch.Tensor, device: torch.device | None) -> CodeTable:
    values = values.to(device)
    ascending, order = torch.sort(values, stable=True)
    is_ascending = bool((ascending == values).all())
    bounds = (ascending[:-1] + ascending[1:]) / 2
    return CodeTable(values, bounds, None if is_ascending else order.to(torch.uint8))

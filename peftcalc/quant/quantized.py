"""A quantized tensor: codes and scales, what they cost, and the numbers that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peftcalc.lazy import Drawn, upstairs
from peftcalc.quant.absmax import IntegerGroups, dequantize_integers, unpack_integers
from peftcalc.quant.blockwise import dequantize_4bit, unpack_4bit
from peftcalc.quant.formats import Layout
from peftcalc.quant.mxfp4 import dequantize_mxfp4, scale_values, unpack_mxfp4
from peftcalc.quant.nested import NestedScales


@dataclass(frozen=True, eq=False, repr=False)
class Quantized(Drawn):
    """What `quantize` returns.

    Args:
        layout: format, granularity, block size, double quantization.
        shape: of the original.
        dtype: of the original.
        codes: 8-bit integers int8 in the original's shape; narrower codes packed in uint8, flat, the first in the high
            bits (in mxfp4 in the low ones).
        block_scales: (groups,), float32: the largest magnitude of each group; in the zero-point formats the length of
            one step; in mxfp4 E8M0 bytes, uint8. None when they are nested.
        zero_points: (groups,), float32: the code of zero, in the zero-point formats.
        nested: the block scales in 8 bits, with double quantization.
        is_numpy: the original was a numpy array, and so is what `dequantize` returns.
    """

    layout: Layout
    shape: tuple[int, ...]
    dtype: torch.dtype
    codes: Tensor
    block_scales: Tensor | None
    zero_points: Tensor | None = None
    nested: NestedScales | None = None
    is_numpy: bool = False

    @property
    def format(self) -> str:
        """The format's name, as `quantize` takes it."""
        return self.layout.form.name

    @property
    def block_size(self) -> int | None:
        """Neighbours that share a scale; None when scales are per tensor or per row."""
        return self.layout.block_size

    @property
    def double_quant(self) -> bool:
        """Whether the block scales are stored in 8 bits."""
        return self.layout.double_quant

    @property
    def count(self) -> int:
        """How many numbers are stored."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def group_size(self) -> int:
        """How many numbers share a scale."""
        return self.layout.group_size(self.shape, self.count)

    @property
    def scales(self) -> Tensor:
        """The scale of each group, (groups,), float32; with double quantization and in mxfp4 what 8 bits stand for."""
        if self.nested is not None:
            return self.nested.dequantize()
        assert self.block_scales is not None
        return scale_values(self.block_scales) if self.layout.form.scheme == "mx" else self.block_scales

    @property
    def bits_per_value(self) -> float:
        """Bits a number, the scales included: 4.5 for nf4 in blocks of 64. See `Layout.bits_per_value`."""
        return self.layout.bits_per_value(self.group_size)

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is stored."""
        stored = (self.codes, self.block_scales, self.zero_points, self.nested)
        return sum(part.nbytes for part in stored if part is not None)

    def code_values(self) -> Tensor:
        """The code of each number, (count,): 0 to 15 for nf4, fp4 and mxfp4, signed integers otherwise."""
        if self.layout.form.scheme == "mx":
            return unpack_mxfp4(self.codes, self.count)
        if self.layout.form.scheme == "table":
            return unpack_4bit(self.codes, self.count)
        bits = self.layout.form.bits
        return self.codes.reshape(-1) if bits == 8 else unpack_integers(self.codes, bits, self.count)

    def dequantize(self, dtype: torch.dtype | None = None) -> Any:
        """The numbers that the codes stand for, in the original's shape and kind (tensor or array).

        They are computed in float32 and rounded to `dtype`, the original's when not given.
        """
        dtype = self.dtype if dtype is None else dtype
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ValueError(f"dtype must be one of torch's floating-point types, got {dtype!r}")
        with torch.no_grad():
            flat = self._values(dtype)
        numbers = flat.view(self.shape)
        return numbers.numpy() if self.is_numpy and dtype not in _NOT_IN_NUMPY else numbers

    def to(self, device: torch.device | str) -> Quantized:
        """The same on another device."""
        nested = self.nested and NestedScales(
            self.nested.codes.to(device), self.nested.scales.to(device), self.nested.offset.to(device)
        )
        moved = [part if part is None else part.to(device) for part in (self.block_scales, self.zero_points)]
        return Quantized(
            self.layout, self.shape, self.dtype, self.codes.to(device), moved[0], moved[1], nested, self.is_numpy
        )

    def save(self, path: str | Path, layout: str = "peftcalc") -> None:
        """Write a safetensors file that `Quantized.load` reads.

        Args:
            path: of the file.
            layout: "peftcalc", for every format, or "bitsandbytes": the tensors that bitsandbytes itself writes and
                reads (nf4 and fp4 only, in blocks of 32, 64, 128 … 4,096).
        """
        upstairs("Quantized.save")(self, path, layout)

    @staticmethod
    def load(path: str | Path) -> Quantized:
        """Read what `save` or bitsandbytes wrote; a ValueError says what is wrong with any other file."""
        return upstairs("Quantized.load")(path)

    def to_bitsandbytes(self) -> Any:
        """The same codes and scales as a `bitsandbytes.nn.Params4bit`, for the weight of a `Linear4bit`.

        Raises:
            ValueError: bitsandbytes has no such format, block size or dtype.
        """
        return upstairs("Quantized.to_bitsandbytes")(self)

    @staticmethod
    def from_bitsandbytes(weight: Any) -> Quantized:
        """The codes and scales of a `bitsandbytes.nn.Params4bit`.

        Raises:
            ValueError: it is not quantized yet, or was repacked for a kernel of bitsandbytes.
        """
        return upstairs("Quantized.from_bitsandbytes")(weight)

    def __repr__(self) -> str:
        return (
            f"Quantized({self.format}, shape={self.shape}, group_size={self.group_size}, "
            f"double_quant={self.double_quant}, bits_per_value={self.bits_per_value:.10g}, nbytes={self.nbytes:,})"
        )

    def _values(self, dtype: torch.dtype) -> Tensor:
        """(count,)"""
        if self.layout.form.scheme == "mx":
            assert self.block_scales is not None
            return dequantize_mxfp4(self.codes, self.block_scales, self.count, self.group_size, dtype)
        if self.layout.form.scheme != "table":
            return self._integer_values().to(dtype)
        return dequantize_4bit(self.codes, self.scales, self.count, self.format, self.group_size, dtype)

    def _integer_values(self) -> Tensor:
        """(count,), float32: the full groups, then the last, shorter one."""
        codes, size, bits = self.code_values(), self.group_size, self.layout.form.bits
        full = self.count // size
        out = torch.empty(self.count, dtype=torch.float32, device=codes.device)
        for start, stop, groups in ((0, full * size, slice(0, full)), (full * size, self.count, slice(full, None))):
            if start < stop:
                zeros = None if self.zero_points is None else self.zero_points[groups]
                part = codes[start:stop].view(-1, min(size, stop - start))
                values = dequantize_integers(IntegerGroups(part, self.scales[groups], zeros), bits)
                out[start:stop] = values.view(-1)
        return out


_NOT_IN_NUMPY = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)

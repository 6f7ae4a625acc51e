"""What each format makes of the same numbers: its row in a ranking, and what its pictures draw.

numbers = gaussian(65_536).reshape(256, 256)
measured(numbers, VARIANTS["NF4"], 64).rmse
picture(window(numbers), VARIANTS["NF4"], 64).codes
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcalc.quant.formats import FORMATS, MX_BLOCK, Per

if TYPE_CHECKING:
    from peftcalc.quant.quantized import Quantized

WINDOW = 1 << 16
"""Pictures show this many numbers, those around the largest one; tables measure all of them."""
BINS = 81


@dataclass(frozen=True)
class Variant:
    """A format with what shares a scale."""

    label: str
    format: str
    per: Per
    double_quant: bool = False
    own_block: int | None = None
    """The format's own; None where it is chosen."""

    @property
    def family(self) -> str:
        """The format without its zero-point convention; it decides the colour."""
        return self.format.partition("_")[0]

    def options(self, block_size: int) -> dict[str, Any]:
        """The arguments of `quantize`; the block size counts only for scales per block that may be of any size."""
        size = self.own_block or (block_size if self.per == "block" else None)
        return {"format": self.format, "per": self.per, "block_size": size, "double_quant": self.double_quant}


VARIANTS = {
    variant.label: variant
    for variant in (
        Variant("int8 per tensor", "int8", "tensor"),
        Variant("int8 per row", "int8", "row"),
        Variant("int8 blocks", "int8", "block"),
        Variant("int4 per tensor", "int4", "tensor"),
        Variant("int4 blocks", "int4", "block"),
        Variant("int2 blocks", "int2", "block"),
        Variant("NF4", "nf4", "block"),
        Variant("NF4, double quantized", "nf4", "block", double_quant=True),
        Variant("FP4 (bitsandbytes)", "fp4", "block"),
        Variant("MXFP4 (OCP), blocks of 32", "mxfp4", "block", own_block=MX_BLOCK),
        Variant("int8 zero-point, tutorials", "int8_zeropoint", "tensor"),
        Variant("int8 zero-point, torch.ao", "int8_affine", "tensor"),
    )
}


@dataclass(frozen=True)
class Measured:
    """One variant's row in the ranking."""

    label: str
    family: str
    bits_per_value: float
    nbytes: int
    rmse: float
    mean_abs: float
    max_abs: float
    sqnr_db: float
    output_error: float | None


@dataclass(frozen=True)
class Picture:
    """What a small multiple and the error line draw.

    Args:
        places, shares: bins of the numbers divided by their group's scale, and per cent of the numbers in each.
        codes: code points on the same line.
        used: how many of them some number takes.
        line_places, line_shares: bins of the numbers themselves, and per cent of the squared error in each.
    """

    places: np.ndarray
    shares: np.ndarray
    codes: np.ndarray
    used: int
    line_places: np.ndarray
    line_shares: np.ndarray


def measured(values: Any, variant: Variant, block_size: int, inputs: Any = None) -> Measured:
    """What the variant loses on all the numbers.

    Args:
        values: a matrix, (out_features, in_features), or any array of numbers.
        variant: a format with what shares a scale.
        block_size: of the scales, where the variant has any size of blocks.
        inputs: a layer's real inputs, (tokens, in_features), where the numbers are its weight.
    """
    from peftcalc.quant.errors import quantization_error

    error = quantization_error(values, **variant.options(block_size), activations=inputs)
    return Measured(
        variant.label,
        variant.family,
        error.bits_per_value,
        error.nbytes,
        error.rmse,
        error.mean_abs,
        error.max_abs,
        error.sqnr_db,
        error.output_error,
    )


def picture(shown: Any, variant: Variant, block_size: int) -> Picture:
    """Histogram, code points, and where the error lies, on a `window` of the numbers."""
    import torch

    from peftcalc.quant import error_along_line, quantize

    quantized = quantize(shown, **variant.options(block_size))
    scaled = normalised(torch.as_tensor(shown).float().reshape(-1), quantized)
    counts = torch.histc(scaled, BINS, -1, 1)
    edges = np.linspace(-1, 1, BINS + 1)
    line = error_along_line(shown, quantized, bins=64)
    total = line.squared_error.sum()
    return Picture(
        places=(edges[:-1] + edges[1:]) / 2,
        shares=100 * counts.numpy() / scaled.numel(),
        codes=code_points(variant),
        used=codes_used(quantized),
        line_places=(line.edges[:-1] + line.edges[1:]) / 2,
        line_shares=100 * line.squared_error / total if total else line.squared_error,
    )


def codes_used(quantized: Quantized) -> int:
    """How many different values the codes of these numbers stand for; FP4 and MXFP4 have two codes for zero."""
    from peftcalc.quant.tables import CODE_VALUES

    codes = set((quantized.code_values().long() + 128).bincount().nonzero().flatten().tolist())
    return len({values[code - 128] for code in codes}) if (values := CODE_VALUES.get(quantized.format)) else len(codes)


def normalised(flat: Any, quantized: Quantized) -> Any:
    """Each number where its group's codes lie on [−1, 1]: divided by the scale, shifted by the zero point."""
    scales = quantized.scales.repeat_interleave(quantized.group_size)[: flat.numel()]
    if quantized.zero_points is None:
        return flat / (scales.clamp(min=1e-38) * _reach(quantized.format))
    zeros = quantized.zero_points.repeat_interleave(quantized.group_size)[: flat.numel()]
    return (flat / scales + zeros) / 2 ** (quantized.layout.form.bits - 1)


def code_points(variant: Variant) -> np.ndarray:
    """Where on [−1, 1] the codes lie."""
    from peftcalc.quant.tables import CODE_VALUES

    form = FORMATS[variant.format]
    if form.in_blocks:
        return np.unique(CODE_VALUES[form.name]) / _reach(form.name)
    top = 2 ** (form.bits - 1) - 1
    return np.arange(-top, top + 1) / top if form.scheme == "absmax" else np.arange(-top - 1, top + 1) / (top + 1)


def _reach(name: str) -> float:
    """Below which multiple of its scale every number of a block lies: 1, or 8 where the scale is a power of two."""
    return 8.0 if name == "mxfp4" else 1.0


def window(values: Any) -> Any:
    """About `WINDOW` numbers, of a matrix in whole rows, with the largest one among them."""
    from peftcalc.quant.inputs import as_tensor

    tensor = as_tensor(values)
    rows = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim > 1 else tensor.reshape(-1, 1)
    count = max(1, WINDOW // rows.shape[1])
    start = int(rows.abs().amax(dim=1).argmax()) // count * count
    return rows[start : start + count] if tensor.ndim > 1 else rows[start : start + count, 0]

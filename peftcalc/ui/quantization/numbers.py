"""What the Quantization page computes: the visitor's choice of numbers, and what each format makes of them.

Results are cached by the choice, which is small; the numbers themselves are passed beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from peftcalc.quant.formats import FORMATS, MX_BLOCK, Per

if TYPE_CHECKING:
    from peftcalc.quant.quantized import Quantized

LARGEST_FILE_MB = 5
BLOCKS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
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
class Choice:
    """The numbers that a visitor chose: a kind, and whatever of the rest belongs to it."""

    kind: str
    count: int = 0
    outlier_size: float = 0.0
    outliers: int = 0
    seed: int = 0
    matrix: str = ""
    digest: str = ""
    file: str = ""


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


@st.cache_resource(max_entries=12, show_spinner=False)
def gaussian_values(choice: Choice) -> np.ndarray:
    """A square matrix of normal numbers, with outliers where the choice has any."""
    from peftcalc.quant.samples import gaussian

    side = math.isqrt(choice.count)
    return gaussian(choice.count, choice.outlier_size, choice.outliers, choice.seed).reshape(side, -1)


@st.cache_resource(show_spinner="Reading the trained model …")
def trained_layers() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each linear layer of the shipped text model: its weight (out, in), and its inputs on real text, (tokens, in)."""
    from peftcalc.lab.tasks import trained_layers as shipped

    return shipped.trained_layers()


@st.cache_data(max_entries=600, show_spinner=False)
def measure(choice: Choice, label: str, block_size: int, _values: Any, _inputs: Any = None) -> Measured:
    """What the variant loses on all the numbers."""
    from peftcalc.quant import quantization_error

    variant = VARIANTS[label]
    error = quantization_error(_values, **variant.options(block_size), activations=_inputs)
    return Measured(
        label,
        variant.family,
        error.bits_per_value,
        error.nbytes,
        error.rmse,
        error.mean_abs,
        error.max_abs,
        error.sqnr_db,
        error.output_error,
    )


@st.cache_data(max_entries=1200, show_spinner=False)
def measure_window(choice: Choice, label: str, block_size: int, _window: Any) -> tuple[float, float]:
    """(bits a number, RMSE) on the window only: one point of the trade-off curve."""
    from peftcalc.quant import quantization_error

    error = quantization_error(_window, **VARIANTS[label].options(block_size))
    return error.bits_per_value, error.rmse


@st.cache_data(max_entries=300, show_spinner=False)
def picture(choice: Choice, label: str, block_size: int, _window: Any) -> Picture:
    """Histogram, code points, and where the error lies, on the window."""
    import torch

    from peftcalc.quant import error_along_line, quantize

    variant = VARIANTS[label]
    quantized = quantize(_window, **variant.options(block_size))
    scaled = normalised(torch.as_tensor(_window).float().reshape(-1), quantized)
    counts = torch.histc(scaled, BINS, -1, 1)
    edges = np.linspace(-1, 1, BINS + 1)
    line = error_along_line(_window, quantized, bins=64)
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

"""What quantization loses: errors of the numbers, by block, along the number line, and in a layer's output."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peftcalc.lazy import Drawn
from peftcalc.quant.formats import Per
from peftcalc.quant.inputs import as_tensor
from peftcalc.quant.quantized import Quantized
from peftcalc.quant.quantizing import quantize

_PIECE = 1 << 20


@dataclass(frozen=True)
class QuantizationError(Drawn):
    """The error `e = x̂ − x` of a quantized tensor.

    Args:
        format: its name.
        rms: root of the mean of x², the signal.
        rmse: root of the mean of e².
        mean_abs: mean of |e|.
        mean: mean of e: zero unless rounding leans to one side.
        max_abs: largest |e|.
        sqnr_db: signal-to-quantization-noise ratio `10 · log10(Σ x² / Σ e²)`, in decibels; infinite without error.
        bits_per_value: bits a number, scales included.
        nbytes: bytes of everything that is stored.
        group_size: how many numbers share a scale.
        block_rmse: rmse of each group, (groups,).
        block_max_abs: largest |e| of each group, (groups,).
        output_error: `‖(Ŵ − W) x‖ / ‖W x‖` for the given activations; None without them.
    """

    format: str
    rms: float
    rmse: float
    mean_abs: float
    mean: float
    max_abs: float
    sqnr_db: float
    bits_per_value: float
    nbytes: int
    group_size: int
    block_rmse: np.ndarray = field(repr=False, compare=False)
    block_max_abs: np.ndarray = field(repr=False, compare=False)
    output_error: float | None = None


def quantization_error(
    x: Any,
    format: str = "nf4",  # noqa: A002
    *,
    block_size: int | None = None,
    double_quant: bool = False,
    per: Per | None = None,
    activations: Any = None,
) -> QuantizationError:
    """What `quantize(x, format, …)` loses.

    Args:
        x: as for `quantize`.
        format: likewise, and so are `block_size`, `double_quant` and `per`.
        activations: inputs of the layer whose weight `x` is, (…, in), x being (out, in): for `output_error`.

    Raises:
        ValueError: as `quantize`; or the activations do not fit the weight.

    >>> import torch
    >>> error = quantization_error(torch.linspace(-1, 1, 256), "int8")
    >>> round(error.max_abs, 4), round(error.sqnr_db, 1)
    (0.0039, 48.1)
    """
    quantized = quantize(x, format, block_size=block_size, double_quant=double_quant, per=per)
    return measure_error(x, quantized, activations)


def measure_error(x: Any, quantized: Quantized, activations: Any = None) -> QuantizationError:
    """The error of `quantized` against its original `x`; sums are taken in float64."""
    original = as_tensor(x)
    if tuple(original.shape) != quantized.shape:
        raise ValueError(f"x must have the quantized shape {quantized.shape}, got {tuple(original.shape)}")
    restored = _restored(quantized)
    flat, back, size = original.reshape(-1), restored.reshape(-1), quantized.group_size
    count, groups = flat.numel(), -(-flat.numel() // size)
    squares, largest = np.zeros(groups), np.zeros(groups)
    absolute = signed = signal = 0.0
    step = max(1, _PIECE // size) * size
    for start in range(0, count, step):
        numbers = flat[start : start + step].double()
        error = back[start : start + step].double() - numbers
        absolute += float(error.abs().sum())
        signed += float(error.sum())
        signal += float(numbers.square().sum())
        padded = torch.nn.functional.pad(error, (0, -error.numel() % size)).view(-1, size)
        place = slice(start // size, start // size + len(padded))
        squares[place] = padded.square().sum(dim=1).cpu().numpy()
        largest[place] = padded.abs().amax(dim=1).cpu().numpy()
    sizes = np.full(groups, size, dtype=float)
    sizes[-1] = count - size * (groups - 1)
    noise = float(squares.sum())
    return QuantizationError(
        format=quantized.format,
        rms=math.sqrt(signal / count),
        rmse=math.sqrt(noise / count),
        mean_abs=absolute / count,
        mean=signed / count,
        max_abs=float(largest.max()),
        sqnr_db=_decibels(signal, noise),
        bits_per_value=quantized.bits_per_value,
        nbytes=quantized.nbytes,
        group_size=size,
        block_rmse=np.sqrt(squares / sizes),
        block_max_abs=largest,
        output_error=None if activations is None else output_error(original, restored, activations),
    )


def output_error(weight: Tensor, restored: Tensor, activations: Any) -> float:
    """`‖(Ŵ − W) x‖ / ‖W x‖` over all activations x (Frobenius norms): how much a layer's output changes.

    Args:
        weight: `W`, (out, in).
        restored: `Ŵ`, (out, in).
        activations: (…, in).
    """
    inputs = as_tensor(activations)
    if weight.ndim != 2 or inputs.ndim < 1 or inputs.shape[-1] != weight.shape[1]:
        shapes = f"{tuple(inputs.shape)} for a weight of shape {tuple(weight.shape)}"
        raise ValueError(f"activations must have shape (…, in) for a weight of shape (out, in), got {shapes}")
    rows = inputs.reshape(-1, weight.shape[1]).to(weight.device, torch.float64)
    exact = rows @ weight.double().T
    change = rows @ (restored.double() - weight.double()).T
    difference, norm = float(change.norm()), float(exact.norm())
    return difference / norm if norm else (math.inf if difference else 0.0)


@dataclass(frozen=True)
class ErrorAlongLine:
    """Where on the number line the error lies, in equal bins from the smallest to the largest number.

    Args:
        edges: (bins + 1,).
        counts: numbers in each bin, (bins,).
        squared_error: sum of e² in each bin, (bins,); over all bins it is `count · rmse²`.
    """

    edges: np.ndarray
    counts: np.ndarray
    squared_error: np.ndarray


def error_along_line(x: Any, quantized: Quantized, bins: int = 64) -> ErrorAlongLine:
    """Numbers and squared error by where the numbers lie."""
    flat = as_tensor(x).detach().reshape(-1).double().cpu()
    error = _restored(quantized).reshape(-1).double().cpu() - flat
    low, high = float(flat.min()), float(flat.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    places = ((flat - low) * (bins / (high - low))).long().clamp_(0, bins - 1)
    counts = torch.bincount(places, minlength=bins)
    squared = torch.bincount(places, weights=error.square(), minlength=bins)
    return ErrorAlongLine(np.linspace(low, high, bins + 1), counts.numpy(), squared.numpy())


def _restored(quantized: Quantized) -> Tensor:
    """The dequantized numbers before they are rounded to the original's dtype: the loss is quantization's alone."""
    return torch.as_tensor(quantized.dequantize(torch.float32))


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf

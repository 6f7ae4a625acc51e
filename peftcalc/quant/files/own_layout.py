"""A `Quantized` as a safetensors file of our own: its tensors, and its layout in the header.

A file is taken for what it may be, damaged or hostile: every name, type, shape and number is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from peftcalc.quant.formats import Layout, make_layout
from peftcalc.quant.mxfp4 import NOT_A_NUMBER
from peftcalc.quant.nested import NESTED_BLOCK, NestedScales
from peftcalc.quant.quantized import Quantized

HEADER = "peftcalc.quantized"
_DTYPES = {
    name: getattr(torch, name) for name in ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
}
Expected = dict[str, tuple[torch.dtype, tuple[int, ...]]]


def save(quantized: Quantized, path: str | Path) -> None:
    """Write `quantized` to `path`; see `Quantized.save`."""
    layout = quantized.layout
    header = {
        "format": layout.form.name,
        "per": layout.per,
        "block_size": layout.block_size,
        "double_quant": layout.double_quant,
        "shape": list(quantized.shape),
        "dtype": str(quantized.dtype).removeprefix("torch."),
        "numpy": quantized.is_numpy,
    }
    if header["dtype"] not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)} to be saved, got {header['dtype']}")
    tensors = {name: tensor.cpu().contiguous() for name, tensor in _tensors(quantized).items()}
    save_file(tensors, str(path), metadata={HEADER: json.dumps(header)})


def is_own(file: Any) -> bool:
    """Whether `save` has written this open safetensors file."""
    return HEADER in (file.metadata() or {})


def load(name: str, file: Any) -> Quantized:
    """The `Quantized` of an open safetensors file called `name`.

    Raises:
        ValueError: it is not a quantized tensor that is whole and consistent.
    """
    header = _header(name, (file.metadata() or {}).get(HEADER))
    layout, shape, expected = _expected(name, header)
    _check_names(name, file, expected)
    tensors = {key: file.get_tensor(key) for key in expected}
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name}: {key} must be finite")
    if layout.form.scheme == "mx" and bool((tensors["scales"] == NOT_A_NUMBER).any()):
        raise ValueError(f"{name}: scales must be finite, got {NOT_A_NUMBER}, which stands for NaN")
    nested = None
    if layout.double_quant:
        nested = NestedScales(tensors["scale_codes"], tensors["scale_scales"], tensors["scale_offset"])
    return Quantized(
        layout,
        shape,
        _DTYPES[header["dtype"]],
        tensors["codes"],
        tensors.get("scales"),
        tensors.get("zero_points"),
        nested,
        bool(header.get("numpy")),
    )


def _tensors(quantized: Quantized) -> dict[str, Tensor]:
    tensors = {"codes": quantized.codes, "scales": quantized.block_scales, "zero_points": quantized.zero_points}
    if quantized.nested is not None:
        nested = quantized.nested
        tensors |= {"scale_codes": nested.codes, "scale_scales": nested.scales, "scale_offset": nested.offset}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _header(name: str, text: str | None) -> dict[str, Any]:
    if text is None:
        raise ValueError(f"{name} is a safetensors file, but not one that Quantized.save has written")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{name}: the header {HEADER!r} must be a JSON object")
    return header


def _expected(name: str, header: Mapping[str, Any]) -> tuple[Layout, tuple[int, ...], Expected]:
    """The layout and shape that the header tells, and the tensors that must then be there."""
    sides = header.get("shape")
    if not isinstance(sides, list) or not all(type(side) is int and 0 < side < 2**40 for side in sides):
        raise ValueError(f"{name}: shape must be a list of positive whole numbers, got {sides!r}")
    if str(header.get("dtype")) not in _DTYPES:
        raise ValueError(f"{name}: dtype must be one of {', '.join(_DTYPES)}, got {header.get('dtype')!r}")
    layout = make_layout(
        str(header.get("format")), header.get("block_size"), header.get("double_quant", False), header.get("per")
    )
    shape = tuple(sides)
    count, bits = math.prod(shape), layout.form.bits
    groups = -(-count // layout.group_size(shape, count))
    is_signed_byte = not layout.form.in_blocks and bits == 8
    codes = (torch.int8, shape) if is_signed_byte else (torch.uint8, (-(-count * bits // 8),))
    expected: Expected = {"codes": codes}
    if layout.double_quant:
        expected["scale_codes"] = (torch.uint8, (groups,))
        expected["scale_scales"] = (torch.float32, (-(-groups // NESTED_BLOCK),))
        expected["scale_offset"] = (torch.float32, ())
    else:
        expected["scales"] = (torch.uint8 if layout.form.scheme == "mx" else torch.float32, (groups,))
    if layout.form.scheme in ("zeropoint", "affine"):
        expected["zero_points"] = (torch.float32, (groups,))
    return layout, shape, expected


def _check_names(name: str, file: Any, expected: Expected) -> None:
    if set(file.keys()) != set(expected):
        raise ValueError(f"{name} must hold {', '.join(sorted(expected))}, got {', '.join(sorted(file.keys()))}")
    read: Callable[[str], Any] = file.get_slice
    kinds = {torch.uint8: "U8", torch.int8: "I8", torch.float32: "F32"}
    for key, (dtype, shape) in expected.items():
        there = (read(key).get_dtype(), tuple(read(key).get_shape()))
        if there != (kinds[dtype], shape):
            raise ValueError(
                f"{name}: {key} must be {kinds[dtype]} of shape {shape}, got {there[0]} of shape {there[1]}"
            )

"""A 4-bit weight as bitsandbytes stores it: the tensors that stand beside `weight` in a safetensors file.

    weight                                  codes, two a byte, (bytes, 1)
    weight.absmax                           scale of each block, float32; with double quantization its code, uint8
    weight.quant_map                        the sixteen values, float32
    weight.nested_absmax                    with double quantization: scale of every 256 scales, float32
    weight.nested_quant_map                 and the 256 values of their codes, float32
    weight.quant_state.bitsandbytes__nf4    JSON in bytes: type, block size, dtype and shape; the mean of the scales

(bitsandbytes 0.50, `QuantState.as_dict(packed=True)`.) What is written here is byte for byte what bitsandbytes writes.
What is read is taken for what it may be, damaged or hostile: names, types, shapes and numbers are checked, and the
values that the maps hold must be the published ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from peftcalc.quant.files.sources import InMemory, Source
from peftcalc.quant.formats import NESTED_BLOCK, Layout, make_layout
from peftcalc.quant.nested import NestedScales
from peftcalc.quant.quantized import Quantized
from peftcalc.quant.tables import dynamic_table, four_bit_table

TABLES = ("nf4", "fp4")
BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Those that bitsandbytes has kernels for."""
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
STATE = ".quant_state.bitsandbytes__"
MOST_STATE = 4096
"""Bytes of the JSON: it is some 150 long."""
_STORAGES = {"U8": 1, "F16": 2, "BF16": 2, "F32": 4}
"""Types that codes may be stored as, and their bytes: FSDP wants the other weights' (`bnb_4bit_quant_storage`)."""
_SAME = 1e-6
"""Relative difference of a map's values from ours: some releases rounded them differently, by a unit or two in the last
place."""


@dataclass(frozen=True)
class StoredWeight:
    """What a file says of a quantized tensor, the codes left aside.

    Args:
        name: of the weight, such as "model.layers.0.mlp.up_proj.weight".
        layout: format, block size, double quantization.
        shape: of the original.
        dtype: of the original.
        nbytes: bytes of codes and scales, as `Quantized.nbytes` counts them.
    """

    name: str
    layout: Layout
    shape: tuple[int, ...]
    dtype: torch.dtype
    nbytes: int

    @property
    def count(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def bits_per_value(self) -> float:
        """Bits a number, scales included: 4.127 for nf4 in blocks of 64 with double quantization."""
        return self.layout.bits_per_value(self.layout.group_size(self.shape, self.count))


def four_bit_names(names: list[str]) -> list[str]:
    """The names of the 4-bit weights among the names of a checkpoint's tensors.

    >>> four_bit_names(["a.weight", "a.weight.absmax", "a.weight.quant_state.bitsandbytes__nf4", "b.weight"])
    ['a.weight']
    """
    return list(dict.fromkeys(name.partition(STATE)[0] for name in names if STATE in name))


def belongs_to(name: str, weights: set[str]) -> bool:
    """Whether a tensor is one of those that make up these 4-bit weights."""
    parts = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")
    owner = next((name.removesuffix(part) for part in parts if name.endswith(part)), name.partition(STATE)[0])
    return name in weights or owner in weights


def to_tensors(quantized: Quantized, name: str = "weight") -> dict[str, Tensor]:
    """The tensors that bitsandbytes stores for `quantized`, by name.

    >>> from peftcalc.quant import quantize
    >>> list(to_tensors(quantize(torch.ones(4, 64))))
    ['weight', 'weight.absmax', 'weight.quant_map', 'weight.quant_state.bitsandbytes__nf4']

    Raises:
        ValueError: bitsandbytes has no such format, block size or dtype.
    """
    layout, dtype = quantized.layout, str(quantized.dtype).removeprefix("torch.")
    if layout.form.name not in TABLES:
        raise ValueError(f"format must be nf4 or fp4 in bitsandbytes' layout, got {layout.form.name}")
    if layout.block_size not in BLOCK_SIZES:
        sizes = ", ".join(f"{size:,}" for size in BLOCK_SIZES)
        raise ValueError(f"block_size must be one of {sizes} in bitsandbytes' layout, got {layout.block_size}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)} in bitsandbytes' layout, got {dtype}")
    state: dict[str, Any] = {"quant_type": layout.form.name, "blocksize": layout.block_size}
    state |= {"dtype": dtype, "shape": list(quantized.shape)}
    nested, device = quantized.nested, quantized.codes.device
    values = four_bit_table(layout.form.name, device).values + 0.0  # code 8 of fp4 stands for +0 there
    tensors = {
        name: quantized.codes.view(-1, 1),
        f"{name}.absmax": nested.codes if nested else quantized.scales,
        f"{name}.quant_map": values,
    }
    if nested:
        tensors[f"{name}.nested_absmax"] = nested.scales
        tensors[f"{name}.nested_quant_map"] = dynamic_table(device).values.clone()
        state |= {"nested_blocksize": NESTED_BLOCK, "nested_dtype": "float32", "nested_offset": nested.offset.item()}
    packed = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    return tensors | {f"{name}{STATE}{layout.form.name}": packed}


def from_tensors(tensors: Mapping[str, Tensor], name: str = "weight") -> Quantized:
    """The `Quantized` of the tensors that bitsandbytes stores for the weight `name`; others are left alone.

    `QuantState.as_dict(packed=True)` has the same tensors without "weight." before their names.

    Raises:
        ValueError: one is missing, of another type or shape, not finite, or contradicts another.
    """
    return read_quantized(InMemory(tensors), name)


def read_quantized(source: Source, name: str) -> Quantized:
    """The weight `name` of a source; see `from_tensors`."""
    weight, scales, nested = _read(source, name)
    stored = source.tensor(name).contiguous().reshape(-1).view(torch.uint8)
    codes = stored[: -(-weight.count // 2)]  # a wider storage may end with a byte that no code fills
    return Quantized(weight.layout, weight.shape, weight.dtype, codes, scales, None, nested)


def read_description(source: Source, name: str) -> StoredWeight:
    """What the weight `name` of a source is. Its scales are read and checked, its codes are not read."""
    return _read(source, name)[0]


def _read(source: Source, name: str) -> tuple[StoredWeight, Tensor | None, NestedScales | None]:
    table, state = _state(source, name)
    is_nested = "nested_offset" in state or f"{name}.nested_absmax" in source.names()
    layout = _layout(name, table, state, is_nested)
    shape, dtype = _shape(name, state.get("shape")), state.get("dtype")
    if str(dtype) not in DTYPES:
        raise ValueError(f"{name}: dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    count, size = math.prod(shape), layout.block_size or 1
    groups = -(-count // size)
    _check_codes(source, name, -(-count // 2), shape)
    _check_map(_tensor(source, f"{name}.quant_map", "F32", (16,)), four_bit_table(table).values, f"{name}.quant_map")
    nbytes = -(-count // 2)
    if not is_nested:
        scales = _finite(_tensor(source, f"{name}.absmax", "F32", (groups,)), f"{name}.absmax")
        if bool((scales < 0).any()):
            raise ValueError(f"{name}.absmax must hold largest magnitudes, got {scales.min().item():g}")
        return StoredWeight(name, layout, shape, DTYPES[str(dtype)], nbytes + scales.nbytes), scales, None
    nested = _nested(source, name, groups, state)
    return StoredWeight(name, layout, shape, DTYPES[str(dtype)], nbytes + nested.nbytes), None, nested


def _state(source: Source, name: str) -> tuple[str, dict[str, Any]]:
    """The format that the name of the JSON tells, and the JSON."""
    keys = [key for key in source.names() if key.startswith(f"{name}{STATE}")]
    if len(keys) != 1:
        found = ", ".join(keys) or "none"
        raise ValueError(f"{name} must have one tensor {name}{STATE}nf4 or …fp4 beside it, got {found}")
    table = keys[0].removeprefix(f"{name}{STATE}")
    if table not in TABLES:
        raise ValueError(f"{name}: the format must be nf4 or fp4, got {table!r}")
    kind, shape = source.kind(keys[0])
    if kind != "U8" or len(shape) != 1 or not 0 < shape[0] <= MOST_STATE:
        raise ValueError(f"{keys[0]} must be U8 of at most {MOST_STATE:,} bytes, got {kind} of shape {shape}")
    try:
        state = json.loads(bytes(source.tensor(keys[0]).tolist()).decode())
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict):
        raise ValueError(f"{keys[0]} must hold a JSON object")
    if state.get("quant_type") != table:
        raise ValueError(f"{keys[0]}: quant_type must be {table!r}, got {state.get('quant_type')!r}")
    return table, state


def _layout(name: str, table: str, state: Mapping[str, Any], is_nested: bool) -> Layout:
    size = state.get("blocksize")
    if type(size) is not int or size not in BLOCK_SIZES:
        sizes = ", ".join(f"{allowed:,}" for allowed in BLOCK_SIZES)
        raise ValueError(f"{name}: blocksize must be one of {sizes}, got {size!r}")
    if is_nested and state.get("nested_blocksize") != NESTED_BLOCK:
        raise ValueError(f"{name}: nested_blocksize must be {NESTED_BLOCK}, got {state.get('nested_blocksize')!r}")
    if is_nested and state.get("nested_dtype") != "float32":
        raise ValueError(f"{name}: nested_dtype must be 'float32', got {state.get('nested_dtype')!r}")
    return make_layout(table, size, is_nested)


def _shape(name: str, sides: Any) -> tuple[int, ...]:
    if not isinstance(sides, list) or not all(type(side) is int and 0 < side < 2**40 for side in sides):
        raise ValueError(f"{name}: shape must be a list of positive whole numbers, got {sides!r}")
    return tuple(sides)


def _check_codes(source: Source, name: str, nbytes: int, shape: tuple[int, ...]) -> None:
    if name not in source.names():
        raise ValueError(f"{name} is missing, and what belongs to it is there")
    kind, stored = source.kind(name)
    size = _STORAGES.get(kind)
    if size is None or -(-nbytes // size) != math.prod(stored):
        raise ValueError(
            f"{name} must hold the {nbytes:,} bytes of the codes of shape {shape}, got {kind} of shape {stored}"
        )


def _nested(source: Source, name: str, groups: int, state: Mapping[str, Any]) -> NestedScales:
    """Block scales in 8 bits: their codes, the scales of these, and the mean that the JSON holds."""
    codes = _tensor(source, f"{name}.absmax", "U8", (groups,))
    scales = _tensor(source, f"{name}.nested_absmax", "F32", (-(-groups // NESTED_BLOCK),))
    of_scales = f"{name}.nested_quant_map"
    _check_map(_tensor(source, of_scales, "F32", (256,)), dynamic_table().values, of_scales)
    offset = state.get("nested_offset")
    if isinstance(offset, bool) or not isinstance(offset, int | float) or not abs(offset) <= torch.finfo().max:
        raise ValueError(f"{name}: nested_offset must be a finite number of float32, got {offset!r}")
    mean = torch.tensor(float(offset), dtype=torch.float32, device=codes.device)
    return NestedScales(codes, _finite(scales, f"{name}.nested_absmax"), mean)


def _tensor(source: Source, name: str, kind: str, shape: tuple[int, ...]) -> Tensor:
    if name not in source.names():
        raise ValueError(f"{name} is missing")
    found = source.kind(name)
    if found != (kind, shape):
        raise ValueError(f"{name} must be {kind} of shape {shape}, got {found[0]} of shape {found[1]}")
    return source.tensor(name)


def _finite(tensor: Tensor, name: str) -> Tensor:
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} must be finite")
    return tensor


def _check_map(found: Tensor, expected: Tensor, name: str) -> None:
    """The values of the codes are those that we dequantize with."""
    if not torch.allclose(found.cpu(), expected.cpu(), rtol=_SAME, atol=0):
        raise ValueError(f"{name} must hold bitsandbytes' own values, got others; they would stand for other numbers")

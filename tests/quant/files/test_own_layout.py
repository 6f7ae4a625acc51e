"""Safetensors there and back, and files that are damaged or made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import peftcalc as pc
from peftcalc.quant import FORMATS, Quantized
from peftcalc.quant.files.own_layout import HEADER

CHOICES = [(name, {}) for name in FORMATS] + [
    ("nf4", {"double_quant": True}),
    ("fp4", {"block_size": 17, "double_quant": True}),
    ("int4", {"per": "row"}),
    ("int2_zeropoint", {"block_size": 100}),
]


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "choices"), CHOICES)
@pytest.mark.parametrize("shape", [(7,), (5, 33), ()])
def test_what_is_saved_comes_back(tmp_path: Path, name: str, choices: dict, shape: tuple[int, ...]) -> None:
    saved = pc.quantize(normal(*shape).bfloat16(), name, **choices)
    saved.save(tmp_path / "weight.safetensors")
    loaded = Quantized.load(tmp_path / "weight.safetensors")
    assert (loaded.layout, loaded.shape, loaded.dtype) == (saved.layout, saved.shape, saved.dtype)
    assert (loaded.nbytes, loaded.bits_per_value) == (saved.nbytes, saved.bits_per_value)
    assert torch.equal(loaded.codes, saved.codes)
    assert torch.equal(loaded.dequantize(), saved.dequantize())


def test_an_array_comes_back_as_an_array(tmp_path: Path) -> None:
    pc.quantize(normal(4, 4).numpy(), "int8").save(tmp_path / "a.safetensors")
    assert isinstance(Quantized.load(tmp_path / "a.safetensors").dequantize(), np.ndarray)


def _rewritten(path: Path, header: dict | None = None, **tensors: torch.Tensor | None) -> Path:
    """A saved file with parts of its header and tensors replaced; None takes a tensor away."""
    with safe_open(str(path), framework="pt") as file:
        there = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = json.loads(file.metadata()[HEADER])
    kept = {name: tensor for name, tensor in (there | tensors).items() if tensor is not None}
    save_file(kept, str(path), metadata={HEADER: json.dumps(told | (header or {}))})
    return path


@pytest.mark.parametrize(
    ("header", "tensors", "sentence"),
    [
        ({"format": "nf5"}, {}, "did you mean 'nf4'"),
        ({"format": ["nf4"]}, {}, "format must be one of"),
        ({"block_size": 8}, {}, "block_size must be between"),
        ({"block_size": 128}, {}, "scale_codes must be U8 of shape"),
        ({"shape": [-1, 3]}, {}, "shape must be a list of positive whole numbers"),
        ({"shape": "x"}, {}, "shape must be a list of positive whole numbers"),
        ({"shape": [10**9, 10**9]}, {}, "codes must be U8 of shape"),
        ({"dtype": "float7"}, {}, "dtype must be one of"),
        ({"dtype": ["float32"]}, {}, "dtype must be one of"),
        ({"double_quant": False}, {}, "must hold codes, scales"),
        ({}, {"scale_offset": None}, "must hold codes, scale_codes, scale_offset, scale_scales"),
        ({}, {"extra": torch.ones(1)}, "must hold codes"),
        ({}, {"codes": torch.zeros(3, dtype=torch.uint8)}, "codes must be U8 of shape"),
        ({}, {"codes": torch.zeros(80, dtype=torch.float32)}, "codes must be U8 of shape"),
        ({}, {"scale_offset": torch.tensor(float("nan"))}, "scale_offset must be finite"),
    ],
)
def test_files_that_do_not_hold_together_are_refused(
    tmp_path: Path, header: dict, tensors: dict, sentence: str
) -> None:
    path = tmp_path / "weight.safetensors"
    pc.quantize(normal(160), "nf4", double_quant=True).save(path)
    with pytest.raises(ValueError, match=sentence):
        Quantized.load(_rewritten(path, header, **tensors))


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"PK\x03\x04", b"\xff" * 8 + b"{}"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weight.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a safetensors file"):
        Quantized.load(path)


def test_every_way_of_cutting_a_file_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weight.safetensors"
    pc.quantize(normal(160), "nf4").save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a safetensors file"):
            Quantized.load(path)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weight.safetensors"
    save_file({"codes": torch.ones(3)}, str(path))
    with pytest.raises(ValueError, match=r"not one that Quantized\.save has written"):
        Quantized.load(path)
    save_file({"codes": torch.ones(3)}, str(path), metadata={HEADER: "[1]"})
    with pytest.raises(ValueError, match="must be a JSON object"):
        Quantized.load(path)
    with pytest.raises(ValueError, match="no such file"):
        Quantized.load(tmp_path / "absent.safetensors")

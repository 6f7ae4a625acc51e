"""Error measures against their definitions, published and known figures, and a layer's output."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import peftcalc as pc
from peftcalc.quant import FORMATS, error_along_line, measure_error


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("block_size", [None, 48])
def test_every_measure_is_its_definition(name: str, block_size: int | None) -> None:
    x = normal(70, 31) + 0.1
    error = pc.quantization_error(x, name, block_size=block_size)
    restored = pc.quantize(x, name, block_size=block_size).dequantize()
    e = (restored.double() - x.double()).flatten()
    assert error.rmse == pytest.approx(math.sqrt(e.square().mean()), rel=1e-12)
    assert error.mean_abs == pytest.approx(e.abs().mean().item(), rel=1e-12)
    assert error.mean == pytest.approx(e.mean().item(), rel=1e-9)
    assert error.max_abs == e.abs().max().item()
    assert error.rms == pytest.approx(math.sqrt(x.double().square().mean()), rel=1e-12)
    expected = 10 * math.log10(x.double().square().sum().item() / e.square().sum().item())
    assert error.sqnr_db == pytest.approx(expected, abs=1e-9)
    parts = e.split(error.group_size)
    assert error.block_rmse == pytest.approx([math.sqrt(part.square().mean()) for part in parts], rel=1e-12)
    assert error.block_max_abs == pytest.approx([part.abs().max().item() for part in parts], rel=1e-12)


@pytest.mark.parametrize(
    ("name", "choices", "decibels"),
    [
        ("int8", {}, 39.5),
        ("int8", {"block_size": 64}, 44.5),
        ("int4", {"block_size": 64}, 19.4),
        ("nf4", {}, 20.7),
        ("nf4", {"double_quant": True}, 20.7),
        ("fp4", {}, 18.3),
    ],
)
def test_a_gaussian_loses_the_known_decibels(name: str, choices: dict, decibels: float) -> None:
    """Stored measurements on 2²⁰ numbers; the largest of a million varies, and int8 per tensor with it, by 0.5 dB."""
    error = pc.quantization_error(normal(1 << 20), name, **choices)
    assert error.sqnr_db == pytest.approx(decibels, abs=0.5 if name == "int8" and not choices else 0.15)


def test_a_uniform_step_has_the_textbook_error() -> None:
    """Uniform numbers, n codes to each side: e is uniform within half a step, so rmse = step / √12."""
    x = torch.rand(1 << 18, generator=torch.Generator().manual_seed(1)) * 2 - 1
    error = pc.quantization_error(x, "int8")
    assert error.rmse == pytest.approx(float(x.abs().max()) / 127 / math.sqrt(12), rel=0.01)
    assert abs(error.mean) < error.rmse / 100


def test_one_outlier_ruins_a_tensor_and_only_one_block() -> None:
    x = normal(4096)
    x[100] = 100.0
    ruined, blocks = pc.quantization_error(x, "int4"), pc.quantization_error(x, "int4", block_size=64)
    calm = pc.quantization_error(normal(4096), "int4", block_size=64)
    assert ruined.rmse > 0.9  # every other number became 0
    hurt = blocks.block_rmse > 1.01 * calm.block_rmse
    assert np.flatnonzero(hurt).tolist() == [100 // 64]


def test_without_error_the_ratio_is_infinite() -> None:
    assert pc.quantization_error(torch.zeros(10), "nf4").sqnr_db == math.inf
    assert pc.quantization_error(torch.tensor([1.0, -1.0]), "int2").sqnr_db == math.inf
    assert pc.quantization_error(torch.full((4,), 1e-40), "int8").sqnr_db == 0.0  # all of it is lost: Σx² = Σe²


def test_the_output_error_is_its_definition() -> None:
    W, x = normal(24, 64), normal(5, 7, 64, seed=1)
    restored = pc.quantize(W, "nf4").dequantize()
    expected = ((x @ (restored - W).T).norm() / (x @ W.T).norm()).item()
    assert pc.quantization_error(W, "nf4", activations=x).output_error == pytest.approx(expected, rel=1e-5)
    assert pc.quantization_error(W, "nf4").output_error is None
    assert pc.quantization_error(W, "nf4", activations=torch.zeros(64)).output_error == 0.0
    for bad in (normal(63), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="activations must have shape"):
            pc.quantization_error(W, "nf4", activations=bad)
    with pytest.raises(ValueError, match="activations must have shape"):
        pc.quantization_error(normal(64), "nf4", activations=normal(64))


def test_error_along_the_line_adds_up() -> None:
    x = normal(10_000)
    quantized = pc.quantize(x, "nf4")
    line, error = error_along_line(x, quantized, bins=40), measure_error(x, quantized)
    assert line.counts.sum() == 10_000
    assert line.squared_error.sum() == pytest.approx(10_000 * error.rmse**2, rel=1e-9)
    assert (line.edges[0], line.edges[-1]) == (x.min().item(), x.max().item())
    inside = (x.double().numpy() >= line.edges[7]) & (x.double().numpy() < line.edges[8])
    assert line.counts[7] == inside.sum()
    constant = error_along_line(torch.ones(5), pc.quantize(torch.ones(5), "int8"), bins=4)
    assert constant.counts.sum() == 5


def test_a_bfloat16_weight_loses_what_its_float32_copy_loses() -> None:
    """Rounding the result to bfloat16 is not quantization's error, and is not counted as such."""
    x = normal(4096).bfloat16()
    assert pc.quantization_error(x, "nf4").rmse == pc.quantization_error(x.float(), "nf4").rmse


def test_another_tensors_record_is_refused() -> None:
    with pytest.raises(ValueError, match="quantized shape"):
        measure_error(normal(3), pc.quantize(normal(4), "nf4"))

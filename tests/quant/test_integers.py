"""Absmax and the two zero-point conventions: closed forms, torch.ao as the oracle, packing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc.quant import quantize
from peftcalc.quant.absmax import pack_integers, unpack_integers

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
BITS = st.sampled_from([8, 4, 2])


def normal(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_absmax_by_hand() -> None:
    """The article's three numbers: 127 / 3 = 42.33, so −1.5 is −63.5, which rounds to the even −64."""
    quantized = quantize(torch.tensor([3.0, -1.5, 0.1]), "int8")
    assert quantized.codes.tolist() == [127, -64, 4]
    assert quantized.scales.tolist() == [3.0]
    assert quantized.dequantize().tolist() == pytest.approx([3.0, -64 / 127 * 3, 4 / 127 * 3])


def test_rounding_is_half_to_even() -> None:
    assert quantize(torch.tensor([127.0, 0.5, 1.5, 2.5, -0.5, -1.5]), "int8").codes.tolist() == [127, 0, 2, 2, 0, -2]


@PROPERTY
@given(BITS, st.integers(1, 600), st.integers(0, 10**6), st.sampled_from([None, 16, 37, 64]))
def test_absmax_errs_by_half_a_step_at_most(bits: int, count: int, seed: int, block_size: int | None) -> None:
    x = normal(count, seed)
    quantized = quantize(x, f"int{bits}", block_size=block_size)
    size = count if block_size is None else block_size
    absmax = torch.stack([part.abs().max() for part in x.split(size)])
    assert torch.equal(quantized.scales, absmax)
    half_a_step = (absmax / (2 ** (bits - 1) - 1) / 2).repeat_interleave(size)[:count]
    assert bool(((quantized.dequantize() - x).abs() <= half_a_step * (1 + 1e-5)).all())


@PROPERTY
@given(BITS, st.integers(1, 600), st.integers(0, 10**6))
def test_what_absmax_has_stored_it_stores_again(bits: int, count: int, seed: int) -> None:
    once = quantize(normal(count, seed), f"int{bits}")
    assert torch.equal(quantize(once.dequantize(), f"int{bits}").codes, once.codes)


@PROPERTY
@given(BITS, st.integers(2, 400), st.integers(0, 10**6), st.floats(-5, 5))
def test_the_tutorials_convention_uses_the_whole_range(bits: int, count: int, seed: int, shift: float) -> None:
    """s = (2^b − 1) / (max − min), z = round(−s · min) − 2^(b−1), x̂ = (q − z) / s."""
    x = normal(count, seed) + shift
    quantized = quantize(x, f"int{bits}_zeropoint")
    codes = quantized.code_values().int()
    s = (2**bits - 1) / (x.max() - x.min()).double()
    z = torch.round(-s * x.min().double()) - 2 ** (bits - 1)
    expected = torch.round(s * x.double() + z).clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert int((codes - expected.int()).abs().max()) <= 1  # the step is kept in float32
    assert codes.min() == -(2 ** (bits - 1))
    assert codes.max() >= 2 ** (bits - 1) - 2
    assert float((quantized.dequantize() - x).abs().max()) <= 1.01 / float(s)


@PROPERTY
@given(st.integers(1, 400), st.integers(0, 10**6), st.floats(-5, 5))
def test_the_affine_convention_is_torchs(count: int, seed: int, shift: float) -> None:
    x = normal(count, seed) + shift
    ours = quantize(x, "int8_affine")
    assert ours.zero_points is not None
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 255
    assert ours.scales.item() == pytest.approx(scale.item(), rel=1e-6)
    step, zero = ours.scales.item(), int(ours.zero_points.item())
    theirs = torch.fake_quantize_per_tensor_affine(x, step, zero, -128, 127)
    assert torch.equal(ours.codes, torch.round(theirs / step + zero).to(torch.int8))
    assert torch.allclose(ours.dequantize(), theirs, rtol=1e-6, atol=0)


def test_the_observer_of_torch_finds_the_same_step_and_zero_point() -> None:
    from torch.ao.quantization.observer import MinMaxObserver

    for shift in (-3.0, -0.2, 0.0, 0.7, 10.0):
        x = normal(500, 3) + shift
        observer = MinMaxObserver(dtype=torch.qint8, quant_min=-128, quant_max=127)
        observer(x)
        step, zero = observer.calculate_qparams()
        ours = quantize(x, "int8_affine")
        assert ours.zero_points is not None
        assert ours.scales.item() == pytest.approx(step.item(), rel=2e-7)
        assert ours.zero_points.item() == zero.item()


def test_affine_stores_zero_exactly_and_the_tutorials_need_not() -> None:
    x = torch.tensor([0.0, 0.31, 1.0])
    assert quantize(x, "int4_affine").dequantize()[0] == 0
    shifted = torch.tensor([5.0, 5.31, 6.0])
    affine, zeropoint = quantize(shifted, "int4_affine"), quantize(shifted, "int4_zeropoint")
    error = [float((q.dequantize() - shifted).abs().max()) for q in (affine, zeropoint)]
    assert error[1] < error[0] / 2  # a range widened to 0 wastes its codes on a tensor far from 0


@pytest.mark.parametrize("name", ["int8", "int4", "int8_zeropoint", "int4_zeropoint", "int8_affine"])
@pytest.mark.parametrize("value", [0.0, 1.0, -7.25, 1e30, 1e-30])
def test_a_constant_comes_back(name: str, value: float) -> None:
    x = torch.full((40,), value)
    tolerance = 2.0**-23 if name.endswith("affine") else 0.0  # torch.ao's smallest step
    assert torch.allclose(quantize(x, name).dequantize(), x, rtol=1e-6, atol=tolerance)


@pytest.mark.parametrize("bits", [4, 2])
def test_codes_are_packed_with_the_first_in_the_high_bits(bits: int) -> None:
    for count in range(1, 12):
        codes = torch.arange(count).remainder(2**bits).sub(2 ** (bits - 1)).to(torch.int8)
        packed = pack_integers(codes, bits)
        assert packed.numel() == -(-count * bits // 8)
        assert torch.equal(unpack_integers(packed, bits, count), codes)
    assert pack_integers(torch.tensor([-1], dtype=torch.int8), 2).tolist() == [0b11000000]


def test_rows_and_blocks_have_scales_of_their_own() -> None:
    x = torch.tensor([[1.0, 2.0, 4.0], [10.0, -20.0, 5.0]])
    assert quantize(x, "int8").scales.tolist() == [20.0]
    assert quantize(x, "int8", per="row").scales.tolist() == [4.0, 20.0]
    assert quantize(x.repeat(1, 8), "int8", block_size=24).scales.tolist() == [4.0, 20.0]
    assert quantize(torch.ones(40), "int8", block_size=16).scales.tolist() == [1.0, 1.0, 1.0]

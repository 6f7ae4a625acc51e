"""The public record: bits and bytes, kinds of input, and every bad input answered by a sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import peftcalc as pc
from peftcalc.quant import FORMATS, Quantized

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "choices", "bits"),
    [
        ("nf4", {}, 4.5),
        ("nf4", {"double_quant": True}, 4.126953125),  # QLoRA paper, section 3: 0.373 bits saved
        ("fp4", {"block_size": 32}, 5.0),
        ("nf4", {"block_size": 4096}, 4.0078125),
        ("int8", {"block_size": 64}, 8.5),
        ("int8", {"per": "row"}, 8 + 32 / 256),
        ("int4", {}, 4 + 32 / (128 * 256)),
        ("int4_affine", {"block_size": 64}, 5.0),
    ],
)
def test_published_bits_and_the_bytes_that_are_there(name: str, choices: dict, bits: float) -> None:
    quantized = pc.quantize(normal(128, 256), name, **choices)
    assert quantized.bits_per_value == bits
    the_mean = 4 if quantized.double_quant else 0  # one number for the whole tensor
    assert quantized.nbytes * 8 == pytest.approx(bits * 128 * 256 + 8 * the_mean, abs=0)


def test_double_quantization_saves_the_published_bits() -> None:
    plain, nested = (pc.quantize(normal(64), "nf4", double_quant=double).bits_per_value for double in (False, True))
    assert plain - nested == 0.373046875


def test_a_short_last_block_counts_as_a_full_one_in_bits_but_not_in_bytes() -> None:
    quantized = pc.quantize(normal(65), "nf4")
    assert quantized.bits_per_value == 4.5
    assert quantized.nbytes == 33 + 2 * 4


@PROPERTY
@given(st.sampled_from(sorted(FORMATS)), st.integers(1, 500), st.integers(16, 4096))
def test_bytes_are_those_of_the_tensors(name: str, count: int, block_size: int) -> None:
    quantized = pc.quantize(normal(count), name, block_size=block_size)
    tensors = [quantized.codes, quantized.block_scales, quantized.zero_points]
    assert quantized.nbytes == sum(t.numel() * t.element_size() for t in tensors if t is not None)
    assert quantized.codes.numel() == -(-count * FORMATS[name].bits // 8)
    assert quantized.scales.shape == (-(-count // block_size),)


@PROPERTY
@given(st.integers(16, 4096), st.integers(1, 300))
def test_nf4_errs_by_half_its_widest_gap_at_most_at_any_block_size(block_size: int, count: int) -> None:
    x = normal(count) * torch.exp(normal(count))
    quantized = pc.quantize(x, "nf4", block_size=block_size)
    absmax = torch.stack([part.abs().max() for part in x.split(block_size)])
    assert torch.allclose(quantized.scales, absmax)
    half = (1 - 0.6961928009986877) / 2 * absmax.repeat_interleave(block_size)[:count]
    assert bool(((quantized.dequantize() - x).abs() <= half * (1 + 1e-6)).all())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_every_float_type_comes_back_in_its_type_and_shape(name: str, dtype: torch.dtype) -> None:
    x = normal(3, 5, 7).to(dtype)
    restored = pc.quantize(x, name).dequantize()
    assert (restored.dtype, restored.shape) == (dtype, x.shape)
    assert torch.equal(pc.quantize(x, name).codes, pc.quantize(x.float(), name).codes)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_numpy_in_numpy_out(dtype: str) -> None:
    x = normal(9, 8).numpy().astype(dtype)
    x.setflags(write=False)
    quantized = pc.quantize(x[::-1, ::2], "nf4")
    restored = quantized.dequantize()
    assert isinstance(restored, np.ndarray)
    assert restored.shape == (9, 4)
    assert restored.dtype == x.dtype.newbyteorder("=")
    assert torch.equal(quantized.codes, pc.quantize(torch.tensor(x[::-1, ::2].astype("float32")), "nf4").codes)


def test_the_input_is_left_as_it_was() -> None:
    x = normal(100).requires_grad_()
    before = x.detach().clone()
    for name in FORMATS:
        assert not pc.quantize(x, name).dequantize().requires_grad
    assert torch.equal(x, before)
    one = np.float32(0.5)
    assert float(pc.quantize(one, "nf4").dequantize()) == 0.5


@pytest.mark.parametrize("name", ["nf4", "int8", "int4_zeropoint"])
@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.tensor([1.0, float("nan")]), "finite numbers, got nan at position 1 "),
        (torch.tensor([[1.0, 2.0], [3.0, -float("inf")]]), "got -inf at position 3 "),
        (torch.tensor([1e300], dtype=torch.float64), "float32 ends at 3.4e38"),
        (torch.tensor([]), r"at least one number, got the empty shape \(0,\)"),
        (np.zeros((3, 0), dtype="float32"), r"got the empty shape \(3, 0\)"),
        (torch.arange(4), "floating-point numbers, got int64"),
        (np.arange(4), "floating-point numbers, got int64"),
        (torch.tensor([True]), "got bool"),
        (torch.ones(2, dtype=torch.complex64), "got complex64"),
        ([1.0, 2.0], "torch tensor or a numpy array, got list"),
        (torch.ones(1).expand(10**14), "memory, but only"),
        (torch.empty(4, device="meta"), "meta device"),
        (torch.eye(3).to_sparse(), "dense tensor"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_bad_numbers_are_answered_by_a_sentence(name: str, x: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        pc.quantize(x, name)
    with pytest.raises(ValueError, match=sentence):
        pc.quantization_error(x, name)


@pytest.mark.parametrize(
    ("name", "choices", "sentence"),
    [
        ("nf5", {}, "did you mean 'nf4'"),
        ("nf4", {"block_size": 15}, "block_size must be between 16 and 4,096, got 15"),
        ("nf4", {"block_size": 4097}, "got 4,097"),
        ("nf4", {"block_size": 0}, "got 0"),
        ("nf4", {"block_size": 64.5}, "whole number"),
        ("nf4", {"block_size": True}, "whole number"),
        ("nf4", {"per": "row"}, "per must be 'block' for nf4"),
        ("nf4", {"double_quant": "yes"}, "double_quant must be True or False"),
        ("int8", {"double_quant": True}, "double_quant must be False for int8"),
        ("int8", {"per": "row", "block_size": 64}, "block_size must be left out"),
        ("int8", {"per": "column"}, "per must be one of tensor, row, block"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(name: str, choices: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        pc.quantize(normal(64), name, **choices)


def test_a_whole_number_of_the_wrong_type_is_understood() -> None:
    assert pc.quantize(normal(64), "nf4", block_size=np.int64(32)).block_size == 32  # pyright: ignore[reportArgumentType]


def test_dequantize_answers_a_type_that_holds_no_fractions() -> None:
    with pytest.raises(ValueError, match="dtype must be one of torch's floating-point types"):
        pc.quantize(normal(4), "nf4").dequantize(torch.int8)


def test_moving_keeps_every_part() -> None:
    for name, choices in (("nf4", {"double_quant": True}), ("int8_affine", {}), ("int4", {"per": "row"})):
        here = pc.quantize(normal(20, 30), name, **choices)
        there = here.to("cpu")
        assert isinstance(there, Quantized)
        assert torch.equal(there.dequantize(), here.dequantize())
        assert repr(there) == repr(here)

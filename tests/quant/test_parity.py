"""Codes, scales and values against bitsandbytes.functional, byte for byte, on every kind of input."""

from __future__ import annotations

import four_bits
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc.quant import quantize
from peftcalc.quant.blockwise import DEQUANTIZE_PIECE, QUANTIZE_PIECE, dequantize_4bit, quantize_4bit
from peftcalc.quant.tables import dynamic_table, four_bit_table

bnb = pytest.importorskip("bitsandbytes.functional")

KINDS = ("normal", "heavy", "constant", "zero", "subnormal", "huge", "one", "uniform", "ties")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
PROPERTY = settings(deadline=None, derandomize=True, max_examples=100)


@pytest.fixture(autouse=True, scope="module")
def _without_a_compiler():
    """bitsandbytes compiles its dequantization for every new shape; the eager code gives the same bytes."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def numbers(kind: str, count: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, generator=generator)
    limit = torch.finfo(dtype).max
    values = {
        "normal": normal,
        "heavy": normal * torch.exp(2 * torch.randn(count, generator=generator)),
        "constant": torch.full((count,), -0.3),
        "zero": torch.zeros(count),
        "subnormal": normal * (1e-41 if dtype != torch.float16 else 1e-7),
        "huge": normal.clamp(-4, 4) * (limit / 5 if dtype == torch.float16 else 1e36),
        "one": torch.where(torch.arange(count) == seed % count, 1.0, 1e-3),
        "uniform": torch.rand(count, generator=generator) * 2 - 1,
        "ties": _ties(count),
    }[kind]
    return values.to(dtype)


def _ties(count: int) -> torch.Tensor:
    """Every midpoint between two NF4 values and every FP4 one, beside a 1 that makes the scale 1."""
    bounds = torch.cat((torch.ones(1), four_bit_table("nf4").bounds, four_bit_table("fp4").bounds))
    return bounds.repeat(-(-count // len(bounds)))[:count]


CASES = {
    "kind": st.sampled_from(KINDS),
    "count": st.one_of(st.integers(1, 200), st.integers(201, 9000)),
    "seed": st.integers(0, 2**31),
    "dtype": st.sampled_from(DTYPES),
    "block_size": st.sampled_from(BLOCK_SIZES),
}


@PROPERTY
@given(**CASES)
def test_nf4_is_identical(kind: str, count: int, seed: int, dtype: torch.dtype, block_size: int) -> None:
    x = numbers(kind, count, seed, dtype)
    theirs, state = bnb.quantize_4bit(x, blocksize=block_size, quant_type="nf4")
    ours = quantize(x, "nf4", block_size=block_size)
    assert torch.equal(ours.codes, theirs.view(-1))
    assert torch.equal(ours.scales, state.absmax)
    assert torch.equal(ours.dequantize(), bnb.dequantize_4bit(theirs, state).view(-1))


@PROPERTY
@given(**CASES)
def test_fp4_stands_for_the_same_numbers(kind: str, count: int, seed: int, dtype: torch.dtype, block_size: int) -> None:
    """Values are compared: backends differ in the sign bit of a nibble that stands for zero."""
    x = numbers(kind, count, seed, dtype)
    theirs, state = bnb.quantize_4bit(x, blocksize=block_size, quant_type="fp4")
    ours = quantize(x, "fp4", block_size=block_size)
    assert torch.equal(ours.scales, state.absmax)
    assert torch.equal(ours.dequantize(), bnb.dequantize_4bit(theirs, state).view(-1))


@PROPERTY
@given(**CASES, table=st.sampled_from(["nf4", "fp4"]))
def test_double_quantization_is_identical(
    kind: str, count: int, seed: int, dtype: torch.dtype, block_size: int, table: str
) -> None:
    """bitsandbytes' CPU kernel is the reference; its CUDA kernel looks scales up without rounding them to a grid first
    (see `peftcalc.quant.nested.quantize_scales`)."""
    x = numbers(kind, count, seed, dtype)
    theirs, state = bnb.quantize_4bit(x, blocksize=block_size, quant_type=table, compress_statistics=True)
    if not torch.isfinite(state.offset):  # the mean of the scales overflows, and bitsandbytes goes on with infinity
        with pytest.raises(ValueError, match="double_quant must be off"):
            quantize(x, table, block_size=block_size, double_quant=True)
        return
    ours = quantize(x, table, block_size=block_size, double_quant=True)
    assert ours.nested is not None
    assert torch.equal(ours.nested.codes, state.absmax)
    assert torch.equal(ours.nested.scales, state.state2.absmax)
    assert torch.equal(ours.nested.offset, state.offset)
    assert torch.equal(ours.scales, bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset)
    assert torch.equal(ours.dequantize(), bnb.dequantize_4bit(theirs, state).view(-1))


def test_many_scales_are_nested_identically() -> None:
    """More than 256 blocks, and a last group of scales that is short."""
    x = numbers("heavy", 64 * 3001 + 5, 1, torch.float32)
    _, state = bnb.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=True)
    ours = quantize(x, "nf4", double_quant=True)
    assert ours.nested is not None
    assert torch.equal(ours.nested.codes, state.absmax)
    assert torch.equal(ours.scales, bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset)


@PROPERTY
@given(**{name: CASES[name] for name in ("kind", "seed", "dtype")}, rows=st.integers(1, 9), columns=st.integers(1, 300))
def test_row_wise_int8_is_identical(kind: str, seed: int, dtype: torch.dtype, rows: int, columns: int) -> None:
    x = numbers(kind, rows * columns, seed, dtype).view(rows, columns)
    codes, maxima, _ = bnb.int8_vectorwise_quant(x.clone())
    ours = quantize(x, "int8", per="row")
    assert torch.equal(ours.codes, codes)
    assert torch.equal(ours.scales, maxima)
    # bitsandbytes computes code · maximum · float32(1/127): two roundings apart, and infinite from 2.7e36 on
    theirs = bnb.int8_vectorwise_dequant(codes, maxima)
    finite = torch.isfinite(theirs)
    assert torch.allclose(ours.dequantize(torch.float32)[finite], theirs[finite], rtol=3e-7, atol=1e-44)
    assert bool((finite | (x.float().abs() > 2.6e36)).all())


def test_the_dynamic_map_is_theirs() -> None:
    assert torch.equal(dynamic_table().values, bnb.create_dynamic_map())


def test_a_shaped_and_a_strided_weight_are_read_row_by_row() -> None:
    W = numbers("normal", 96 * 80, 3, torch.bfloat16).view(96, 80)
    for x in (W, W.T, W[::2, 3:-1]):
        codes, _, values = four_bits.quantized(x, blocksize=64, quant_type="nf4")
        assert torch.equal(quantize(x, "nf4").codes, codes)
        assert torch.equal(quantize(x, "nf4").dequantize(), values)


def test_pieces_join_without_a_seam() -> None:
    """Longer than one piece of work, odd, and in blocks whose length is odd too."""
    x = numbers("normal", max(QUANTIZE_PIECE, DEQUANTIZE_PIECE) + 4097, 5, torch.float32)
    for block_size in (17, 64, 4095):
        codes, scales = quantize_4bit(x, "nf4", block_size)
        restored = dequantize_4bit(codes, scales, x.numel(), "nf4", block_size)
        for start in range(0, x.numel(), 40 * block_size):
            part = x[start : start + 40 * block_size]
            alone = dequantize_4bit(*quantize_4bit(part, "nf4", block_size), part.numel(), "nf4", block_size)
            assert torch.equal(restored[start : start + part.numel()], alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_values_are_rounded_once_to_the_dtype(dtype: torch.dtype) -> None:
    ours = quantize(numbers("normal", 1000, 7, torch.float32), "nf4")
    assert torch.equal(ours.dequantize(dtype), ours.dequantize(torch.float32).to(dtype))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("double_quant", [False, True])
def test_cuda_agrees_with_the_cpu_byte_for_byte(kind: str, dtype: torch.dtype, double_quant: bool) -> None:
    x = numbers(kind, 64 * 700 + 11, 9, dtype)
    for table in ("nf4", "fp4"):
        if double_quant and kind == "huge" and dtype != torch.float16:  # the sum of 701 scales exceeds float32
            for numbers_there in (x, x.cuda()):
                with pytest.raises(ValueError, match="double_quant must be off"):
                    quantize(numbers_there, table, double_quant=True)
            continue
        here = quantize(x, table, double_quant=double_quant)
        there = quantize(x.cuda(), table, double_quant=double_quant)
        assert there.codes.is_cuda
        assert torch.equal(here.codes, there.codes.cpu())
        assert torch.equal(here.scales, there.scales.cpu())
        assert torch.equal(here.dequantize(), there.dequantize().cpu())

"""MXFP4 against public references: gpt-oss's loader in transformers, gguf's quantizer, torch's E8M0; and its rule."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import peftcalc as pc
from peftcalc.quant import Quantized
from peftcalc.quant.model_bytes import model_bytes
from peftcalc.quant.mxfp4 import dequantize_mxfp4, quantize_mxfp4, scale_values, unpack_mxfp4
from peftcalc.quant.tables import E2M1_VALUES

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
MIDPOINTS = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
KINDS = ("normal", "heavy", "ties", "zero", "subnormal", "huge")


def numbers(kind: str, count: int, seed: int = 0) -> torch.Tensor:
    normal = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    ties = torch.tensor([6.0, *MIDPOINTS, *(-m for m in MIDPOINTS), 7.0, -7.9])
    return {
        "normal": normal,
        "heavy": normal * torch.exp(2 * torch.randn(count, generator=torch.Generator().manual_seed(seed + 1))),
        "ties": ties.repeat(-(-count // len(ties)))[:count] * 2.0 ** (seed % 7 - 3),
        "zero": torch.zeros(count),
        "subnormal": normal * 1e-38,
        "huge": normal.clamp(-3, 3) * 1e38,
    }[kind]


def by_the_rule(block: list[float]) -> tuple[int, list[int]]:
    """Scale and codes of one block in exact arithmetic: section 6.3 of the specification, ties to even."""
    largest = max(Fraction(abs(x)) for x in block)
    exponent = -127
    if largest:
        exponent = max(math.frexp(float(largest))[1] - 1 - 2, -127)  # ⌊log₂ max|x|⌋ − emax
    codes = []
    for x in block:
        quotient = abs(Fraction(x)) / Fraction(2) ** exponent
        values = [Fraction(value) for value in E2M1_VALUES[:8]]
        distance = min(abs(quotient - value) for value in values)
        nearest = [code for code in range(8) if abs(quotient - values[code]) == distance]
        even = [code for code in nearest if code % 2 == 0]
        code = nearest[0] if len(nearest) == 1 else even[0]
        codes.append(code + 8 * (math.copysign(1, x) < 0))
    return exponent + 127, codes


@PROPERTY
@given(kind=st.sampled_from(KINDS), count=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_scales_and_codes_follow_the_rule_exactly(kind: str, count: int, seed: int) -> None:
    x = numbers(kind, count, seed)
    packed, scales = quantize_mxfp4(x)
    expected = [by_the_rule(part.tolist()) for part in x.split(32)]
    assert scales.tolist() == [scale for scale, _ in expected]
    assert unpack_mxfp4(packed, count).tolist() == [code for _, codes in expected for code in codes]


@PROPERTY
@given(kind=st.sampled_from(("normal", "heavy", "ties", "zero")), blocks=st.integers(1, 50), seed=st.integers(0, 10**6))
def test_gpt_oss_is_read_as_transformers_reads_it(kind: str, blocks: int, seed: int) -> None:
    """Their loader takes (…, blocks, 16) bytes and (…, blocks) scales, and gives (…, in, out) of each expert."""
    theirs = pytest.importorskip("transformers.integrations.mxfp4")
    x = numbers(kind, 2 * blocks * 32, seed)
    packed, scales = quantize_mxfp4(x)
    for dtype in (torch.bfloat16, torch.float32):
        expected = theirs.convert_moe_packed_tensors(
            packed.view(1, 2, blocks, 16), scales.view(1, 2, blocks), dtype=dtype
        )
        ours = dequantize_mxfp4(packed, scales, x.numel(), dtype=dtype)
        assert torch.equal(ours.view(1, 2, blocks * 32).transpose(1, 2), expected)


@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_gguf_quantizes_to_the_same_scales_and_values(kind: str) -> None:
    """No ties in these numbers: gguf takes the smaller magnitude there. Its blocks put the second half of the numbers
    into the high nibbles."""
    quants = pytest.importorskip("gguf.quants")
    x = numbers(kind, 32 * 2000, seed=3)
    stored = quants.MXFP4.quantize_blocks(x.view(-1, 32).numpy())
    ours = pc.quantize(x, "mxfp4")
    assert ours.block_scales is not None
    assert ours.block_scales.tolist() == stored[:, 0].tolist()
    assert torch.equal(ours.dequantize().view(-1, 32), torch.from_numpy(quants.MXFP4.dequantize_blocks(stored)))


def test_scales_are_torchs_e8m0() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    torch.testing.assert_close(
        scale_values(every), every.view(torch.float8_e8m0fnu).float(), rtol=0, atol=0, equal_nan=True
    )


def test_every_value_and_every_tie() -> None:
    """A 4 makes the scale 1; the values are stored as they are, ties go to even, and what is beyond 6 is 6."""
    exact = torch.tensor([4.0, *E2M1_VALUES])
    assert torch.equal(pc.quantize(exact, "mxfp4").dequantize(), exact)
    rounded = pc.quantize(torch.tensor([4.0, *MIDPOINTS, 6.5, 7.99]), "mxfp4").dequantize()
    assert rounded.tolist() == [4.0, 0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0]


def test_the_record_says_what_it_is(tmp_path) -> None:
    x = numbers("normal", 64 * 128).view(64, 128).bfloat16()
    quantized = pc.quantize(x, "mxfp4")
    assert (quantized.block_size, quantized.bits_per_value) == (32, 4.25)
    assert quantized.nbytes * 8 == 4.25 * x.numel()
    assert quantized.nbytes == model_bytes([(x.numel(), 1)], 0, "mxfp4").total_bytes
    assert torch.equal(torch.log2(quantized.scales), torch.log2(quantized.scales).round())
    quantized.save(tmp_path / "w.safetensors")
    loaded = Quantized.load(tmp_path / "w.safetensors")
    assert torch.equal(loaded.dequantize(), quantized.dequantize())
    assert (loaded.dtype, loaded.shape) == (torch.bfloat16, (64, 128))
    assert loaded.block_scales is not None
    loaded.block_scales[3] = 255
    loaded.save(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="scales must be finite, got 255, which stands for NaN"):
        Quantized.load(tmp_path / "w.safetensors")


def test_its_error_beside_nf4s() -> None:
    """Stored measurements on 2²⁰ normal numbers: MXFP4 loses 2 dB to NF4 with a quarter of a bit less."""
    x = numbers("normal", 1 << 20)
    errors = {name: pc.quantization_error(x, name).sqnr_db for name in ("nf4", "mxfp4", "fp4")}
    assert errors == pytest.approx({"nf4": 20.7, "mxfp4": 18.8, "fp4": 18.3}, abs=0.15)


def test_pieces_join_without_a_seam() -> None:
    x = numbers("normal", (1 << 18) + 4097, seed=5)
    for block_size in (17, 32, 4095):
        codes, scales = quantize_mxfp4(x, block_size)
        restored = dequantize_mxfp4(codes, scales, x.numel(), block_size)
        for start in range(0, x.numel(), 4000 * block_size):
            part = x[start : start + 4000 * block_size]
            alone = dequantize_mxfp4(*quantize_mxfp4(part, block_size), part.numel(), block_size)
            assert torch.equal(restored[start : start + part.numel()], alone)


@pytest.mark.parametrize("choices", [{"per": "row"}, {"double_quant": True}, {"block_size": 8}])
def test_choices_that_it_does_not_have(choices: dict) -> None:
    with pytest.raises(ValueError, match=r"mxfp4|block_size must be between"):
        pc.quantize(torch.ones(64), "mxfp4", **choices)


def test_numbers_that_are_not_finite_are_named_with_their_place() -> None:
    x = torch.ones(3 << 17)
    x[(1 << 17) + 5] = float("nan")
    with pytest.raises(ValueError, match="got nan at position 131,077 of the flattened tensor"):
        pc.quantize(x, "mxfp4")
    x = torch.cat([torch.ones(1 << 19), x])
    for name in ("nf4", "mxfp4"):
        with pytest.raises(ValueError, match="got nan at position 655,365 of the flattened tensor"):
            pc.quantize(x, name)

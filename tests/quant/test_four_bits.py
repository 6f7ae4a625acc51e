"""The compiled loops write what torch's operations write, bit for bit; without them everything works just the same."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from peftcalc import compiled
from peftcalc.quant import four_bits
from peftcalc.quant.blockwise import dequantize_4bit, quantize_4bit
from peftcalc.quant.nested import quantize_scales
from peftcalc.quant.tables import four_bit_table

BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
needs_loops = pytest.mark.skipif(four_bits.loops() is None, reason="this installation has no compiled loops")


@pytest.fixture
def without_loops(monkeypatch):
    monkeypatch.setattr(four_bits, "loops", lambda: None)


def in_torch(*arguments, **options) -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(four_bits, "loops", lambda: None)
        return dequantize_4bit(*arguments, **options)


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("gcc") is None, reason="there is no gcc here")
def test_where_there_is_a_compiler_the_loops_are_there():
    assert four_bits.loops() is not None


@needs_loops
@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    count=st.integers(1, 700), block_size=st.sampled_from([32, 64, 96, 128]), table=st.sampled_from(["nf4", "fp4"]),
    dtype=st.sampled_from(list(BITS)), size=st.sampled_from([1e-38, 1e-3, 1.0, 3e38]), seed=st.integers(0, 99),
)  # fmt: skip
def test_every_bit_is_torchs(count, block_size, table, dtype, size, seed):
    numbers = torch.randn(count, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1) * size
    packed, scales = quantize_4bit(numbers, table, block_size)
    arguments = (packed, scales, count, table, block_size, dtype)
    assert torch.equal(dequantize_4bit(*arguments).view(BITS[dtype]), in_torch(*arguments).view(BITS[dtype]))


@needs_loops
@pytest.mark.parametrize("dtype", BITS, ids=str)
def test_scales_that_are_not_finite_stay_so(dtype):
    packed = torch.arange(128, dtype=torch.uint8)
    scales = torch.tensor([float("inf"), float("nan"), -float("inf"), 1.0])
    arguments = (packed, scales, 256, "nf4", 64, dtype)
    torch.testing.assert_close(dequantize_4bit(*arguments), in_torch(*arguments), rtol=0, atol=0, equal_nan=True)


@needs_loops
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_blocks(threads):
    packed, scales = quantize_4bit(torch.randn(200_003))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for dtype in BITS:
            expected = in_torch(packed, scales, 200_003, dtype=dtype)
            assert torch.equal(dequantize_4bit(packed, scales, 200_003, dtype=dtype), expected)
    finally:
        torch.set_num_threads(before)


@needs_loops
@pytest.mark.parametrize("blocks", [1, 255, 256, 257, 5184])
def test_nested_scales_are_torchs(blocks, monkeypatch):
    nested = quantize_scales(torch.rand(blocks) + 0.5)
    ours = nested.dequantize()
    monkeypatch.setattr(four_bits, "loops", lambda: None)
    assert torch.equal(ours, nested.dequantize())


@needs_loops
def test_other_types_blocks_and_layouts_are_left_to_torch():
    packed, scales = quantize_4bit(torch.randn(256))
    values, out = four_bit_table("nf4").values, torch.empty(256)
    assert four_bits.dequantize_blocks(packed, scales, values, 64, out) == 256
    assert four_bits.dequantize_blocks(packed, scales, values, 64, out.double()) == 0
    assert four_bits.dequantize_blocks(packed, scales, values, 16, out) == 0
    assert four_bits.dequantize_blocks(packed, scales, values, 64, torch.empty(512)[::2]) == 0
    with FakeTensorMode():
        assert four_bits.dequantize_blocks(torch.empty(128, dtype=torch.uint8), scales, values, 64, out) == 0


@needs_loops
def test_sizes_that_do_not_fit_are_refused():
    packed, scales = quantize_4bit(torch.randn(256))
    values = four_bit_table("nf4").values
    with pytest.raises(ValueError, match="256 numbers need more than 64 bytes and 4 scales"):
        four_bits.dequantize_blocks(packed[:64], scales, values, 64, torch.empty(256))
    with pytest.raises(ValueError, match="128 bytes and 3 scales"):
        four_bits.dequantize_blocks(packed, scales[:3], values, 64, torch.empty(256))
    nested = quantize_scales(torch.rand(600) + 0.5)
    with pytest.raises(ValueError, match="600 codes in blocks of 256 need more than 2 scales"):
        four_bits.dequantize_scales(nested.codes, nested.scales[:2], values, 256, nested.offset)


def test_an_installation_without_loops_says_so(monkeypatch):
    monkeypatch.setattr(compiled, "EXTENSION_SUFFIXES", [".nowhere"])
    assert four_bits.loops.__wrapped__() is None


@pytest.mark.usefixtures("without_loops")
def test_without_loops_the_numbers_are_the_same():
    numbers = torch.tensor([0.5, -1.0, 0.0, 0.25] * 16)
    packed, scales = quantize_4bit(numbers)
    expected = four_bit_table("nf4").values[[12, 0, 7, 10]]
    assert torch.equal(dequantize_4bit(packed, scales, 64)[:4], expected)
    scales = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(quantize_scales(scales).dequantize(), scales, rtol=0, atol=0.01)


def test_a_traced_step_leaves_no_fake_table_behind():
    """Asked for in a process of its own, because tables are made once."""
    program = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from peftcalc.quant.blockwise import dequantize_4bit, quantize_4bit
from peftcalc.quant.nested import quantize_scales

def there_and_back(numbers):
    packed, scales = quantize_4bit(numbers)
    return dequantize_4bit(packed, quantize_scales(scales).dequantize(), numbers.numel())

with FakeTensorMode(allow_non_fake_inputs=True):
    dequantize_4bit(torch.empty(64, dtype=torch.uint8), torch.ones(2), 128)
numbers = torch.linspace(-1, 1, 128)
print((there_and_back(numbers) - numbers).abs().max().item())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2

"""Large results lie in large pages, and are tensors like any other."""

from __future__ import annotations

import copy
import gc
import mmap

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from peftcalc.quant import large
from peftcalc.quant.blockwise import dequantize_4bit, quantize_4bit

COUNT = large.LARGE_BYTES // 4 + 6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_large_vector_can_be_written_read_and_copied(dtype):
    x = large.empty(2 * COUNT, dtype, like=torch.ones(1))
    x.fill_(2)
    part = x[-3:].clone()
    again = copy.deepcopy(x)
    del x
    gc.collect()
    assert again.shape == (2 * COUNT,)
    assert again.dtype == dtype
    assert again.sum(dtype=torch.float64) == 4 * COUNT
    assert part.tolist() == [2, 2, 2]


def test_a_view_keeps_the_pages():
    tail = large.empty(COUNT, torch.float32, like=torch.ones(1)).fill_(3)[-2:]
    gc.collect()
    assert tail.tolist() == [3, 3]


def test_a_kernel_without_large_pages_gets_an_ordinary_vector(monkeypatch):
    class Refused(mmap.mmap):
        def madvise(self, *_):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(large.mmap, "mmap", Refused)
    assert large.empty(COUNT, torch.float32, like=torch.ones(1)).fill_(1).sum() == COUNT


def test_a_fake_tensor_stays_fake():
    with FakeTensorMode() as mode:
        x = large.empty(COUNT, torch.float32, like=torch.ones(1))
        assert mode.is_our_fake(x)


def test_large_and_small_dequantize_alike():
    block = torch.randn(1 << 12, generator=torch.Generator().manual_seed(0))
    packed, scales = quantize_4bit(block)
    repeats = 2 * COUNT // len(block)
    many = dequantize_4bit(packed.repeat(repeats), scales.repeat(repeats), repeats * len(block))
    assert torch.equal(many, dequantize_4bit(packed, scales, len(block)).repeat(repeats))

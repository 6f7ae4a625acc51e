"""What a card reaches and how wide the range is, by hand."""

from __future__ import annotations

import pytest

from peftcalc import LoRA
from peftcalc.memory.cards import gpu
from peftcalc.speed.estimate import _Phase, estimate_speed
from peftcalc.speed.machine import machine
from peftcalc.speed.work import COMPUTE, Work

LLAMA = "meta-llama/Llama-3.2-1B"


def test_a_product_and_its_bytes_on_an_a100():
    """Operations at 0.79 of 312 TFLOP/s; four fifths of the bytes wait at 0.82 of the bandwidth."""
    card = gpu("A100 80GB")
    found = machine(card)
    assert found.product(1e12, 1e9) == pytest.approx(1e12 / (0.79 * 312e12) + 0.8 * 1e9 / (0.82 * card.bandwidth))
    assert found.dequantize == pytest.approx(0.28 * card.bandwidth)


@pytest.mark.parametrize(("tensor", "share"), [(1, 0.5), (10 * 2**20, 0.75), (20 * 2**20, 1), (2**40, 1)])
def test_reads_of_what_an_a100_s_cache_holds_do_not_wait(tensor, share):
    """A tensor that is read and one that is written take 2·x of 40 MiB; the reads, half of the bytes, are saved."""
    found = machine(gpu("A100 80GB"))
    assert found.traffic(1e9, tensor) == pytest.approx(share * 1e9 / found.bandwidth, rel=1e-6)
    assert machine(gpu("B200")).traffic(1e9, 1) == 1e9 / machine(gpu("B200")).bandwidth  # its maker names no size


def test_host_and_card_that_are_alike_are_both_felt():
    """(1 + 1)^¼ of either, and of one that is far longer hardly more than itself."""
    even, uneven = (_Phase((Work("", "", 1.0, COMPUTE, launches, ""),), 3, 0.5) for launches in (2, 0.2))
    assert even.seconds == pytest.approx(3 * 2**0.25)
    assert uneven.seconds == pytest.approx(3 * (1 + 0.1**4) ** 0.25)


@pytest.mark.parametrize(
    ("tokens", "options", "low", "high"),
    [(2048, {}, 1.15, 1.15), (256, {}, 1.6, 1.6), (2048, {"gpus": 2}, 1.15 * 1.5, 1.15)],
)
def test_the_range_on_a_checked_card(tokens, options, low, high):
    speed = estimate_speed(LLAMA, LoRA(rank=8), "A100 80GB", 1, tokens, **options)
    assert speed.tokens_per_second / speed.low_tokens_per_second == pytest.approx(low)
    assert speed.high_tokens_per_second / speed.tokens_per_second == pytest.approx(high)

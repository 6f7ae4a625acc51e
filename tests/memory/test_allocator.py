"""The model of torch's caching allocator: its documented sizes, and that no block is lost, doubled or overlapping."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc.memory.kernels import matrix_workspaces
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.reserve.allocator import MIB, CachingAllocator, OutOfMemoryError
from peftcalc.memory.reserve.replay import play, unused_bytes
from peftcalc.memory.simulate.trace import StorageLedger


@pytest.mark.parametrize(
    ("size", "allocated", "reserved"),
    [
        (1, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (10 * MIB + 1, 10 * MIB + 512, 12 * MIB),
        (11 * MIB, 12 * MIB, 12 * MIB),  # 1 MiB that is left is not split off
        (13 * MIB + 1, 14 * MIB, 14 * MIB),
    ],
)
def test_sizes_of_blocks_and_segments(size, allocated, reserved):
    allocator = CachingAllocator()
    allocator.allocate(size)
    assert (allocator.allocated, allocator.reserved) == (allocated, reserved)


def test_a_freed_block_is_taken_again_and_the_smallest_that_does():
    allocator = CachingAllocator()
    small, large = allocator.allocate(30 * MIB), allocator.allocate(50 * MIB)
    allocator.release(large)
    allocator.release(small)
    assert allocator.allocate(20 * MIB).address == small.address
    assert allocator.reserved == 80 * MIB


def test_neighbours_are_joined():
    allocator = CachingAllocator()
    blocks = [allocator.allocate(4 * MIB) for _ in range(5)]
    assert allocator.reserved == 20 * MIB
    for place in (1, 3, 2):
        allocator.release(blocks[place])
    assert allocator.allocate(12 * MIB).address == blocks[1].address
    assert (allocator.allocated, allocator.reserved) == (20 * MIB, 20 * MIB)


def test_only_whole_segments_go_back_and_only_under_pressure():
    allocator = CachingAllocator(limit=100 * MIB)
    kept, freed = allocator.allocate(30 * MIB), allocator.allocate(40 * MIB)
    allocator.release(freed)
    assert allocator.reserved == 70 * MIB
    allocator.allocate(60 * MIB)
    assert allocator.reserved == 90 * MIB
    with pytest.raises(OutOfMemoryError, match="are not there"):
        allocator.allocate(20 * MIB)
    allocator.release(kept)
    part = allocator.allocate(2 * MIB)
    with pytest.raises(OutOfMemoryError):
        allocator.allocate(40 * MIB)  # the segment of 30 MiB has a block in use and cannot go back
    allocator.release(part)
    allocator.allocate(40 * MIB)
    assert allocator.reserved == 100 * MIB


@settings(deadline=None, derandomize=True, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_blocks_never_overlap_and_all_bytes_come_back(seed):
    chance, allocator, held = random.Random(seed), CachingAllocator(), []
    for _ in range(200):
        if held and chance.random() < 0.45:
            allocator.release(held.pop(chance.randrange(len(held))))
        else:
            held.append(allocator.allocate(int(2 ** chance.uniform(5, 26))))
        spans = sorted((block.address, block.address + block.size) for block in held)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        assert allocator.allocated == sum(block.size for block in held) <= allocator.reserved
    for block in held:
        allocator.release(block)
    allocator.give_back()
    assert (allocator.allocated, allocator.reserved) == (0, 0)


def a_ledger() -> StorageLedger:
    """A step that makes 40 MiB, frees it, and then needs 50 MiB twice."""
    ledger = StorageLedger()
    weight = torch.empty(25 * MIB, dtype=torch.uint8)
    ledger.point("load")
    ledger.note(weight, "base_weights")
    ledger.loaded = len(ledger.events)
    with ledger:
        ledger.phase = "forward"
        first = torch.empty(40 * MIB, dtype=torch.uint8)
        del first
        ledger.phase = "backward"
        pair = [torch.empty(50 * MIB, dtype=torch.uint8) for _ in range(2)]
        del pair
    return ledger


def test_a_step_is_played_twice_and_what_is_unused_stays_reserved():
    ledger, options = a_ledger(), MemoryOptions()
    allocator = play(ledger, options, quantized=False)
    assert allocator.most_reserved == (26 + 20 + 40 + 50 + 50) * MIB  # weights, cuBLAS' workspaces, the step
    assert allocator.most_allocated == (26 + 50 + 50) * MIB + matrix_workspaces(None)
    assert unused_bytes(ledger, options, False) == allocator.most_reserved - allocator.most_allocated


def test_under_pressure_the_same_step_needs_less():
    ledger, options = a_ledger(), MemoryOptions()
    free = play(ledger, options, False).most_reserved
    assert play(ledger, options, False, limit=free - 1).most_reserved == free - 40 * MIB
    with pytest.raises(OutOfMemoryError):
        play(ledger, options, False, limit=free - 40 * MIB - 1)

"""The ledger of storages: births, deaths, sizes and roles."""

from __future__ import annotations

import time

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.cuda_rules import CudaRules
from peftcalc.memory.simulate.trace import StorageLedger, TimeLimitError, rounded


def test_sizes_are_rounded_as_the_caching_allocator_rounds() -> None:
    assert [rounded(size) for size in (0, 1, 512, 513, 1024)] == [0, 512, 512, 1024, 1024]


def test_a_hand_worked_program() -> None:
    """a, b of 1 KiB each; c = a + b; a dies; d = c * 2: alive after each operator 1, 2, 3, then 3 KiB again."""
    with StorageLedger() as ledger:
        a = torch.zeros(256)
        b = torch.zeros(256)
        c = a + b
        del a
        d = c * 2
    assert ledger.alive().tolist() == [1024, 2048, 3072, 3072]
    assert [record.size for record in ledger.records] == [1024] * 4
    assert b.sum() == d.sum() == 0


def test_views_share_their_storage_and_are_no_points() -> None:
    with StorageLedger() as ledger:
        whole = torch.zeros(1024)
        part = whole.view(32, 32)[3]
        del whole
        other = part + 1
    assert ledger.alive().tolist() == [4096, 4096 + 512]
    assert other.shape == (32,)


def test_in_place_operators_allocate_nothing() -> None:
    with StorageLedger() as ledger:
        x = torch.zeros(256)
        x.add_(1).mul_(2)
    assert ledger.alive().tolist() == [1024] * 3


def test_a_role_given_later_is_kept() -> None:
    with StorageLedger() as ledger:
        x = torch.zeros(256)
    ledger.mark([x], "gradients")
    assert ledger.alive(lambda record: record.role == "gradients").tolist() == [1024]
    ledger.ignore([x])
    assert ledger.alive().tolist() == [0]


def test_storages_of_recomputation_know_it() -> None:
    with StorageLedger() as ledger:
        first = torch.zeros(4)
        with ledger.recomputation():
            again = torch.zeros(4)
        after = torch.zeros(4)
    assert [record.recomputation for record in ledger.records] == [None, 0, None]
    assert ledger.recomputations == [2]
    assert first.shape == again.shape == after.shape


def test_the_deadline_stops_the_trace() -> None:
    with pytest.raises(TimeLimitError), StorageLedger(deadline=time.monotonic() - 1):
        torch.zeros(4)


def test_real_sizes_without_rounding() -> None:
    with StorageLedger(rounding=False) as ledger:
        kept = torch.zeros(3)
    assert ledger.alive().tolist() == [12]
    assert kept.numel() == 3


@pytest.mark.parametrize(("dtype", "storages"), [("float16", 1), ("bfloat16", 2)])
def test_cuda_reads_float16_and_writes_the_float32_softmax_at_once(dtype, storages):
    ledger = StorageLedger()
    with FakeTensorMode():
        scores = torch.empty(4, 1024, dtype=getattr(torch, dtype))
        with ledger, CudaRules(MemoryOptions(dtype=dtype)):
            probabilities = functional.softmax(scores, dim=-1, dtype=torch.float32)
    assert probabilities.dtype == torch.float32
    assert len(ledger.records) == storages


def test_gradients_of_a_tied_weight_are_added_in_place_and_what_is_computed_again_is_not():
    """Autograd's engine runs without recording; a checkpointed layer that is computed again records."""
    ledger = StorageLedger(None)
    ledger.weights, ledger.phase = frozenset({(3, 4)}), "backward"
    first, second = torch.ones(3, 4), torch.ones(3, 4)
    with ledger:
        assert (first + second).data_ptr() != first.data_ptr()
        with torch.no_grad():
            assert (torch.ones(4, 3) + torch.ones(4, 3)).sum() == 24
            assert (first + second).data_ptr() == first.data_ptr()
            with ledger.recomputation():
                assert (first + second).data_ptr() != first.data_ptr()

"""The ledger of storages: which bytes are alive after each operator of a program, without running it on a GPU.

A `StorageLedger` sees every operator that torch dispatches. It notes each new storage with its size as CUDA's caching
allocator rounds it, and the operator at which the storage dies, for a storage dies when the last tensor over it does,
on fake tensors as on real ones. `torch.cuda.max_memory_allocated` is the highest sum of what is alive.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from peftcalc.memory.simulate.workspaces import workspace_bytes

ROUNDING = 512
"""CUDA's caching allocator hands out multiples of this many bytes (`kMinBlockSize`, c10/cuda/CUDACachingAllocator)."""

ALIVE = 2**62
"""The death of a storage that outlives the trace."""

_NO_WORK = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.lift_fresh.default)
"""Operators that, like views and queries, compute nothing on the device: no points of the timeline."""


def rounded(size: int) -> int:
    """`size` in bytes, rounded up as the caching allocator does.

    >>> rounded(1), rounded(512), rounded(513)
    (512, 512, 1024)
    """
    return -(-size // ROUNDING) * ROUNDING


@dataclass
class StorageRecord:
    """One storage: alive after the operators `birth` ≤ k < `death`."""

    size: int
    """Rounded bytes."""
    shape: tuple[int, ...]
    """Shape of the tensor with which it was born."""
    birth: int
    death: int = ALIVE
    role: str | None = None
    """The part of the breakdown, where it is known at birth."""
    recomputation: int | None = None
    """Index into the ledger's recomputations, if it was born while a checkpointed layer was computed again."""


class TimeLimitError(RuntimeError):
    """The trace took longer than its limit."""


class StorageLedger(TorchDispatchMode):
    """Notes births and deaths of storages while it is active.

    Args:
        deadline: a value of `time.monotonic` after which tracing stops.
        rounding: round sizes as CUDA does; False for a CPU's own sizes.

    >>> with StorageLedger() as ledger:
    ...     ledger.phase = "forward"
    ...     y = torch.ones(200) * torch.ones(200)
    >>> [record.size for record in ledger.records], int(ledger.alive()[-1])
    ([1024, 1024, 1024], 3072)
    """

    def __init__(self, deadline: float | None = None, rounding: bool = True) -> None:
        super().__init__()
        self.deadline = deadline
        self.round: Callable[[int], int] = rounded if rounding else int
        self.records: list[StorageRecord] = []
        self.operators: list[str] = []
        self.phases: list[str] = []
        self.workspaces: list[int] = []
        self.events: list[tuple[int, int]] = []
        """In order, what a storage takes (its record's index, its bytes) and gives back (the index, −bytes); −1 for
        the workspace of an operator."""
        self.loaded = 0
        """How many of the events precede the step."""
        self.phase = "load"
        self.weights: frozenset[tuple[int, ...]] = frozenset()
        """Shapes of the trained matrices, whose gradients autograd adds up."""
        self.recomputations: list[int] = []
        """For each recomputation of a checkpointed layer, the operator at which it ended."""
        self._recomputing = False
        self._living: dict[int, tuple[Any, StorageRecord]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeLimitError
        if func is torch.ops.aten.add.Tensor and self._accumulates(args):
            func = torch.ops.aten.add_.Tensor
        result = func(*args, **(kwargs or {}))
        workspace = 0
        if not (func.is_view or func.namespace in ("prim", "profiler") or func in _NO_WORK):
            workspace = workspace_bytes(func, args, result) if self.round is rounded else 0
            self.point(str(func), workspace)
        if workspace:
            self.events.append((-1, workspace))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.note(leaf)
        if workspace:
            self.events.append((-1, -workspace))
        return result

    def _accumulates(self, args: tuple) -> bool:
        """True where the two gradients of a tied weight are added: in place, but for a fake tensor, a third is made.

        (torch, csrc/autograd/input_buffer.cpp, `can_accumulate_inplace`.)
        """
        first = args[0]
        between_layers = self.phase == "backward" and not self._recomputing and not torch.is_grad_enabled()
        return between_layers and isinstance(first, torch.Tensor) and tuple(first.shape) in self.weights

    def point(self, operator: str, workspace: int = 0) -> None:
        """Add a point to the timeline: after `operator`, which itself held `workspace` bytes while it ran."""
        self.operators.append(operator)
        self.phases.append(self.phase)
        self.workspaces.append(workspace)

    def note(self, tensor: torch.Tensor, role: str | None = None) -> StorageRecord | None:
        """The record of a tensor's storage, new if it is not known; None for a tensor without a storage."""
        if tensor.layout != torch.strided:
            return None
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._living.get(key)
        if known is not None:
            record = known[1]
        else:
            index = max(len(self.operators) - 1, 0)
            record = StorageRecord(self.round(storage.nbytes()), tuple(tensor.shape), index, ALIVE, role)
            record.recomputation = len(self.recomputations) if self._recomputing else None
            self.events.append((len(self.records), record.size))
            self.records.append(record)
            place = len(self.records) - 1
            self._living[key] = (weakref.ref(storage, lambda _: self._died(key, record, place)), record)
        record.role = role or record.role
        return record

    @contextlib.contextmanager
    def recomputation(self) -> Iterator[None]:
        """While open, storages are born by the recomputation of a checkpointed layer."""
        self._recomputing = True
        try:
            yield
        finally:
            self._recomputing = False
            self.recomputations.append(len(self.operators))

    def mark(self, tensors: Iterable[torch.Tensor], role: str) -> None:
        """Give the storages of these tensors a role."""
        for tensor in tensors:
            self.note(tensor, role)

    def ignore(self, tensors: Iterable[torch.Tensor]) -> None:
        """Leave the storages of these tensors out: they lie in the host's memory."""
        for tensor in tensors:
            record = self.note(tensor)
            if record is not None:
                record.size = 0

    def _died(self, key: int, record: StorageRecord, place: int) -> None:
        record.death = len(self.operators)
        self.events.append((place, -record.size))
        if key in self._living and self._living[key][1] is record:
            del self._living[key]

    def alive(self, chosen: Callable[[StorageRecord], bool] | None = None) -> np.ndarray:
        """Bytes alive after each operator: of all storages, or of those chosen; workspaces are not among them."""
        change = np.zeros(len(self.operators) + 1, dtype=np.int64)
        for record in self.records:
            if chosen is None or chosen(record):
                change[record.birth] += record.size
                if record.death < len(change):
                    change[record.death] -= record.size
        return np.cumsum(change)[:-1]

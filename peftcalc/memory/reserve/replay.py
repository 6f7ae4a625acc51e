"""A traced step played through the caching allocator: what stays reserved beside what is allocated.

As a training begins: the weights are loaded, a quantized one by way of its half-precision self, and what stays in
floats is cast to float32 if it is to be; two steps follow, of which the first makes the optimizer's states at its end.
The blocks of the first are there when the second begins, which is the one that counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from peftcalc.memory.kernels import matrix_workspaces
from peftcalc.memory.options import DTYPE_BYTES, MemoryOptions
from peftcalc.memory.reserve.allocator import Block, CachingAllocator
from peftcalc.memory.simulate.trace import StorageLedger, StorageRecord, rounded

STEPS = 2
_CODES_A_BYTE = 2


def unused_bytes(ledger: StorageLedger, options: MemoryOptions, quantized: bool) -> int:
    """Reserved beyond allocated bytes, each at its highest in the second step."""
    allocator = play(ledger, options, quantized)
    return allocator.most_reserved - allocator.most_allocated


def play(ledger: StorageLedger, options: MemoryOptions, quantized: bool, limit: int | None = None) -> CachingAllocator:
    """The allocator after the second step, its highest values those of that step.

    Args:
        ledger: after `run_step`.
        options: of these `dtype`, `kbit_upcast` and `card` count.
        quantized: whether the base is.
        limit: bytes that the card has for the allocator.

    Raises:
        OutOfMemoryError: the limit does not do.
    """
    return _Replay(ledger, options, limit).run(quantized)


class _Replay:
    def __init__(self, ledger: StorageLedger, options: MemoryOptions, limit: int | None) -> None:
        self.ledger, self.options = ledger, options
        self.allocator = CachingAllocator(limit)
        self.workspace = matrix_workspaces(options.chosen_card) // 2
        self.held: dict[int, Block] = {}
        loaded = [place for place, size in ledger.events[: ledger.loaded] if size > 0]
        states = {place for place in loaded if ledger.records[place].role == "optimizer_states"}
        self.states = [place for place in loaded if place in states]
        self.weights = [place for place in loaded if place not in states]
        first = len(ledger.records) if not loaded else loaded[-1] + 1
        self.step = [(place, size) for place, size in ledger.events[ledger.loaded :] if place < 0 or place >= first]

    def run(self, quantized: bool) -> CachingAllocator:
        self._load(quantized)
        self.allocator.allocate(self.workspace)
        self._step(first=True)
        for _ in range(STEPS - 1):
            self.allocator.reset_peaks()
            self._step(first=False)
        return self.allocator

    def _load(self, quantized: bool) -> None:
        records, allocator = self.ledger.records, self.allocator
        adapters = [place for place in self.weights if records[place].role not in ("base_weights", *_CONSTANTS)]
        half = quantized and self.options.kbit_upcast and self.options.dtype != "float32"
        early: dict[int, Block] = {}
        for place in (place for place in self.weights if place not in set(adapters)):
            record = records[place]
            if half and _is_float32(record):
                early[place] = allocator.allocate(record.size // 2)
            elif quantized and record.role == "base_weights" and not _is_float32(record):
                dense = allocator.allocate(_CODES_A_BYTE * DTYPE_BYTES[self.options.dtype] * record.size)
                self._take([place])
                allocator.release(dense)
            else:
                self._take([place])
        for place, block in early.items():
            self._take([place])
            allocator.release(block)
        self._take(adapters)

    def _step(self, first: bool) -> None:
        """The step's own storages; of the first one autograd's workspace and the optimizer's states as well."""
        ledger, allocator = self.ledger, self.allocator
        missing = {"backward", "optimizer"} if first else set()
        workspaces: list[Block] = []
        for place, size in self.step:
            if place < 0:
                if size > 0:
                    workspaces.append(allocator.allocate(size))
                else:
                    allocator.release(workspaces.pop())
            elif size > 0:
                self._begin(ledger.phases[ledger.records[place].birth], missing)
                self._take([place])
            elif place in self.held:
                allocator.release(self.held.pop(place))
        for phase in tuple(missing):
            self._begin(phase, missing)

    def _begin(self, phase: str, missing: set[str]) -> None:
        """What the first step allocates when it enters a phase, and keeps."""
        if phase not in missing:
            return
        missing.remove(phase)
        if phase == "backward":
            self.allocator.allocate(self.workspace)
        else:
            self._take(self.states)

    def _take(self, places: Iterable[int]) -> None:
        for place in places:
            size = self.ledger.records[place].size
            if size:
                self.held[place] = self.allocator.allocate(size)


_CONSTANTS = ("quantization_constants",)


def _is_float32(record: StorageRecord) -> bool:
    """A base weight of four bytes a number; 4-bit codes have one byte, or less."""
    return record.role == "base_weights" and rounded(4 * math.prod(record.shape)) == record.size

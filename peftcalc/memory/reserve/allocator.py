"""torch's caching allocator: what it takes from the card for the blocks that it hands out, and what it gives back.

Sizes are rounded to 512 bytes. A block of at most 1 MiB comes from segments of 2 MiB, a larger one below 10 MiB from
segments of 20 MiB, and a larger one from a segment of its own, rounded to 2 MiB. The smallest free block that is large
enough is taken; what is left of it is split off where it is at least 512 bytes among the small ones, or more than 1 MiB
among the large ones. A freed block is joined with its free neighbours in the segment, and stays reserved. Only when the
card refuses a segment are the segments that are wholly free given back.
(torch, c10/cuda/CUDACachingAllocator.cpp: `round_size`, `get_allocation_size`, `should_split`, `try_merge_blocks`,
`release_cached_blocks`; with its default settings, on one stream.)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from peftcalc.units import GIB

MIB = GIB // 1024

ROUNDING = 512
SMALL = MIB
"""The largest block of the small pool."""
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
LEAST_OWN = 10 * MIB
"""From here on a block has a segment of its own, as large as itself."""
OWN_ROUNDING = 2 * MIB


class OutOfMemoryError(RuntimeError):
    """The card has no room for another segment, though all that was wholly free was given back."""


@dataclass(eq=False)
class Block:
    """A stretch of a segment, in use or free, between its neighbours."""

    size: int
    address: int
    small: bool
    free: bool = False
    before: Block | None = field(default=None, repr=False)
    after: Block | None = field(default=None, repr=False)


class CachingAllocator:
    """The allocator of one card and one stream.

    Args:
        limit: bytes that the card has for segments; None for as many as are asked for.

    >>> allocator = CachingAllocator()
    >>> block = allocator.allocate(3 * MIB)
    >>> allocator.allocated // MIB, allocator.reserved // MIB
    (3, 20)
    >>> allocator.release(block)
    >>> allocator.allocated // MIB, allocator.reserved // MIB
    (0, 20)
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.allocated = self.most_allocated = 0
        self.reserved = self.most_reserved = 0
        self._free: dict[bool, list[tuple[int, int, Block]]] = {True: [], False: []}
        self._next_address = 0

    def allocate(self, size: int) -> Block:
        """A block of at least `size` bytes, from what is free or from a new segment.

        Raises:
            OutOfMemoryError: the limit leaves no room for the segment.
        """
        size = -(-max(size, 1) // ROUNDING) * ROUNDING
        small = size <= SMALL
        block = self._best(size, small) or self._segment(size, small)
        block.free = False
        left = block.size - size
        if left >= ROUNDING if small else left > SMALL:
            self._split(block, size)
        self.allocated += block.size
        self.most_allocated = max(self.most_allocated, self.allocated)
        return block

    def release(self, block: Block) -> None:
        """The block is free again, joined with its free neighbours."""
        self.allocated -= block.size
        block.free = True
        for neighbour in (block.before, block.after):
            if neighbour is not None and neighbour.free:
                self._forget(neighbour)
                self._join(block, neighbour)
        insort(self._free[block.small], (block.size, block.address, block))

    def reset_peaks(self) -> None:
        """The highest values begin anew from the present ones."""
        self.most_allocated, self.most_reserved = self.allocated, self.reserved

    def give_back(self) -> None:
        """Segments that are wholly free go back to the card (`torch.cuda.empty_cache`)."""
        for small, blocks in self._free.items():
            whole = [entry for entry in blocks if entry[2].before is None and entry[2].after is None]
            self._free[small] = [entry for entry in blocks if entry not in whole]
            self.reserved -= sum(size for size, _, _ in whole)

    def _best(self, size: int, small: bool) -> Block | None:
        blocks = self._free[small]
        place = bisect_left(blocks, (size, -1))
        return blocks.pop(place)[2] if place < len(blocks) else None

    def _segment(self, size: int, small: bool) -> Block:
        taken = (
            SMALL_SEGMENT if small else LARGE_SEGMENT if size < LEAST_OWN else -(-size // OWN_ROUNDING) * OWN_ROUNDING
        )
        if self.limit is not None and self.reserved + taken > self.limit:
            self.give_back()
            if self.reserved + taken > self.limit:
                raise OutOfMemoryError(f"{taken:,} bytes more than {self.reserved:,} are not there")
        block = Block(taken, self._next_address, small)
        self._next_address += taken
        self.reserved += taken
        self.most_reserved = max(self.most_reserved, self.reserved)
        return block

    def _split(self, block: Block, size: int) -> None:
        rest = Block(block.size - size, block.address + size, block.small, True, block, block.after)
        if block.after is not None:
            block.after.before = rest
        block.size, block.after = size, rest
        insort(self._free[block.small], (rest.size, rest.address, rest))

    def _join(self, block: Block, neighbour: Block) -> None:
        block.size += neighbour.size
        if neighbour is block.before:
            block.address, block.before = neighbour.address, neighbour.before
            if block.before is not None:
                block.before.after = block
        else:
            block.after = neighbour.after
            if block.after is not None:
                block.after.before = block

    def _forget(self, block: Block) -> None:
        blocks = self._free[block.small]
        del blocks[bisect_left(blocks, (block.size, block.address))]

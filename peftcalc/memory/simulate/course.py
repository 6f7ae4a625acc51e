"""The course of a step: after every operator, the bytes of each part of the breakdown."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from peftcalc.memory.records import PARTS, PHASES, MemoryBreakdown, TimelinePoint
from peftcalc.memory.simulate.trace import StorageLedger, StorageRecord

PART_NAMES = tuple(PARTS)

MOST_POINTS = 2_000
"""A timeline is thinned to this many points: a screen shows no more."""


@dataclass(frozen=True)
class Course:
    """Operators of a step with the bytes alive after each.

    Args:
        operators: their names, in order.
        phases: the phase of each.
        parts: bytes, (operators, 8), in the order of `PARTS`.
        kernels: names of the attention kernels that ran; empty where that is not known.
        unused: bytes that the caching allocator reserves beyond what is allocated (`replay`).
    """

    operators: tuple[str, ...]
    phases: tuple[str, ...]
    parts: np.ndarray
    kernels: tuple[str, ...] = ()
    unused: int = 0

    @property
    def totals(self) -> np.ndarray:
        """All bytes after each operator."""
        return self.parts.sum(axis=1)

    @property
    def peak(self) -> int:
        """Index of the operator after which most bytes are allocated, the first of equals."""
        return int(self.totals.argmax())

    def breakdown(self, index: int) -> MemoryBreakdown:
        """The parts after one operator."""
        return MemoryBreakdown(**dict(zip(PART_NAMES, map(int, self.parts[index]), strict=True)))

    def timeline(self, most: int = MOST_POINTS) -> tuple[TimelinePoint, ...]:
        """Points for a figure: the highest of each stretch of equal length, and the ends of every phase."""
        return tuple(
            TimelinePoint(self.phases[index], self.operators[index], self.breakdown(index))
            for index in self._chosen(most)
        )

    def _chosen(self, most: int) -> list[int]:
        count = len(self.operators)
        if count <= most:
            return list(range(count))
        totals, chosen = self.totals, {0, count - 1, self.peak}
        for phase in PHASES:
            places = [index for index, name in enumerate(self.phases) if name == phase]
            if places:
                chosen |= {places[0], places[-1]}
        edges = np.linspace(0, count, most - len(chosen) + 1).astype(int)
        chosen |= {int(start + totals[start:stop].argmax()) for start, stop in pairwise(edges)}
        return sorted(chosen)


def course_of(ledger: StorageLedger, vocabulary: int | None) -> Course:
    """The ledger's storages, each in its part, summed after every operator; workspaces are temporary buffers.

    Args:
        ledger: after a step.
        vocabulary: width of the logits; None where the model has none.
    """
    forward_end = max((i for i, phase in enumerate(ledger.phases) if phase in ("load", "forward")), default=0)
    count = len(ledger.operators)
    change = np.zeros((count + 1, len(PART_NAMES)), dtype=np.int64)
    for record in ledger.records:
        column = PART_NAMES.index(_part(record, ledger, forward_end, vocabulary))
        change[record.birth, column] += record.size
        if record.death <= count:
            change[record.death, column] -= record.size
    parts = np.cumsum(change, axis=0)[:-1]
    parts[:, PART_NAMES.index("temporary_buffers")] += np.array(ledger.workspaces, dtype=np.int64)
    return Course(tuple(ledger.operators), tuple(ledger.phases), parts)


def _part(record: StorageRecord, ledger: StorageLedger, forward_end: int, vocabulary: int | None) -> str:
    """The part of the breakdown to which a storage belongs.

    A role that was known is kept. Of the rest, what is as wide as the vocabulary belongs to the logits; what the
    forward pass, or the recomputation of a checkpointed layer, leaves for the backward pass is a saved activation.
    """
    if record.role is not None:
        return record.role
    if vocabulary and len(record.shape) > 1 and record.shape[-1] == vocabulary:
        return "logits_and_loss"
    if record.birth <= forward_end:
        return "saved_activations" if record.death > forward_end + 1 else "temporary_buffers"
    if record.recomputation is not None and record.death > ledger.recomputations[record.recomputation]:
        return "saved_activations"
    return "temporary_buffers"

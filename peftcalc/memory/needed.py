"""Two questions about a card: what must it have so that a step fits, and what will nvidia-smi show while it runs?

torch gives cached blocks back before it runs out of memory, so what is reserved beside the tensors decides little: a
step may run where less is free than nvidia-smi showed elsewhere. What it needs at least is its tensors and the CUDA
context; it fits for certain where blocks of different parts need not share and nothing that loading left is of use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from peftcalc.memory.allowances import context_allowance, reserved_allowance
from peftcalc.memory.cards import Gpu
from peftcalc.memory.estimate.closed_form import MemoryEstimate
from peftcalc.memory.estimate.moments import Held
from peftcalc.memory.largest import searched
from peftcalc.memory.records import Allowance, MemoryTrace


@dataclass(frozen=True)
class Needed:
    """Bytes that a card must have for a step, and the bytes that nvidia-smi will show.

    >>> needed(1_000_000_000).low_bytes < needed(1_000_000_000).expected_bytes
    True
    """

    peak_bytes: int
    """Of the step's tensors."""
    low_bytes: int
    """The tensors and the smallest CUDA context that was seen."""
    expected_bytes: int
    """What a run needs at least: with less it does not fit."""
    high_bytes: int
    """What it needs at most: from here on it fits."""
    reserved_bytes: int = 0
    """Expected torch.cuda.max_memory_reserved on a card with room enough."""
    shown_bytes: int = 0
    """What nvidia-smi will show there: reserved and context."""
    low_shown_bytes: int = 0
    high_shown_bytes: int = 0

    def verdict(self, usable_bytes: int) -> str:
        """ "fits", "tight" (it depends on how the allocator's blocks fall) or "does not fit".

        >>> Needed(6, 7, 8, 9).verdict(8), Needed(6, 7, 8, 9).verdict(9), Needed(6, 7, 8, 9).verdict(7)
        ('tight', 'fits', 'does not fit')
        """
        if self.high_bytes <= usable_bytes:
            return "fits"
        return "tight" if self.expected_bytes <= usable_bytes else "does not fit"


def needed(peak: int) -> Needed:
    """The card's bytes for tensors of which one part alone comes and goes, as in serving: a share more is reserved."""
    reserve, context = reserved_allowance(peak), context_allowance()
    low, expected, high = (
        peak + getattr(reserve, name) + getattr(context, name) for name in ("low_bytes", "expected_bytes", "high_bytes")
    )
    return Needed(peak, low, expected, high, peak + reserve.expected_bytes, expected, low, high)


def needed_by(result: MemoryEstimate | MemoryTrace, card: Gpu | None = None) -> Needed:
    """The card's bytes for a training step that was estimated or simulated."""
    if not isinstance(result, MemoryTrace):
        held = Held(result.peak, result.apart_bytes, result.unshared_bytes)
        return needed_for(held, result.upcast_bytes, card)
    reserve = result.reserved_allowance
    return _needed(result.peak, result.peak + reserve.high_bytes, reserve, context_allowance(card))


def needed_for(held: Held, upcast: int, card: Gpu | None = None) -> Needed:
    """The card's bytes for a step that blocks hold so, with the bytes that loading freed."""
    reserve = reserved_allowance(held.peak, held.unshared, upcast)
    return _needed(held.peak, held.apart + upcast, reserve, context_allowance(card))


def _needed(peak: int, held: int, reserve: Allowance, context: Allowance) -> Needed:
    return Needed(
        peak,
        peak + context.low_bytes,
        peak + context.expected_bytes,
        held + context.high_bytes,
        peak + reserve.expected_bytes,
        peak + reserve.expected_bytes + context.expected_bytes,
        peak + reserve.low_bytes + context.low_bytes,
        peak + reserve.high_bytes + context.high_bytes,
    )


def room(card: Gpu) -> int:
    """Bytes that a card has for a step's blocks beside the largest context: under them a step fits."""
    return card.usable_bytes - context_allowance(card).high_bytes


@lru_cache(maxsize=256)
def most_peak(card: Gpu) -> int:
    """The largest bytes of tensors whose expected needs the card has: `needed` turned round, to the byte."""
    return searched(lambda peak: needed(peak).expected_bytes <= card.usable_bytes, card.usable_bytes)

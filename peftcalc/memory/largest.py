"""The largest batch or sequence that fits for certain: solved on the course of the step's bytes, or searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any

from peftcalc.memory.cards import Gpu, all_gpus
from peftcalc.memory.estimate.closed_form import MemoryEstimate, estimated
from peftcalc.memory.estimate.growing.growth import Piece, pieces
from peftcalc.memory.estimate.moments import Held, moments_of
from peftcalc.memory.estimate.notes import estimate_notes
from peftcalc.memory.estimate.study import Study, studied, upcast_bytes
from peftcalc.memory.kernels import alike, matrix_workspaces
from peftcalc.memory.options import MemoryOptions
from peftcalc.methods import Method
from peftcalc.models.shapes import ModelShapes

MOST_BATCH = 4096
"""No larger batch is looked for."""

MOST_SEQUENCE = 1 << 20
"""No longer sequence is looked for, whatever the model's context."""

KEPT = 1024
"""Steps, and courses of steps, that are remembered; each is a handful of polynomials."""

Course = tuple[Piece, ...]


@lru_cache(maxsize=KEPT)
def step(model: ModelShapes, method: Method, options: MemoryOptions) -> Step:
    """The step of a model, a method and options; kept by content, so that nine cards share what one has worked out."""
    return Step(model, method, options)


@dataclass(frozen=True, eq=False)
class Step:
    """A training step: its estimate, and how large its batch or its sequence may become.

    The step fits where the highest of a few moments does, and its parts do without sharing a block. The
    bytes of each are a polynomial of at most the second degree on a
    few stretches (`growth`), so a root tells the largest size. Where that hangs on a rounded byte the estimate itself
    is asked; bytes that are no such polynomials, or that fall as the size grows, are searched.
    """

    model: ModelShapes
    method: Method
    options: MemoryOptions

    @cached_property
    def estimate(self) -> MemoryEstimate:
        """At the step's own batch and sequence; such cards share it, but for what is said of a card."""
        if self._own:
            return estimated(self.model, self.method, self.options)
        known, options = self._study, self.options
        setting = known.setup(options.resized(options.batch, known.body.pieces) if known.body.pieces else options)
        return replace(self._on_such_cards, notes=tuple(estimate_notes(known.model, known.body, setting)))

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of all attention kernels that run, that of most layers first."""
        return self._study.setup(self.options).kernels

    @property
    def peak(self) -> int:
        """The estimate's total alone."""
        return self.held.peak

    @property
    def held(self) -> Held:
        """How blocks hold the step."""
        one = self._on_such_cards
        return Held(one.total + self._own, one.apart_bytes + self._own, one.unshared_bytes)

    @property
    def _on_such_cards(self) -> MemoryEstimate:
        """The estimate on all cards with these kernels."""
        return estimated(self.model, self.method, self._shared)

    @cached_property
    def upcast(self) -> int:
        """Bytes that loading freed between the weights of a quantized model."""
        return upcast_bytes(self._study, self._shared.resized(1, 1))

    @cached_property
    def _shared(self) -> MemoryOptions:
        """The options without the card where torch runs the same kernels as without: such cards share one course."""
        return self.options.on(_stands_for(self._study, self.options.resized(1, 1)))

    @cached_property
    def _own(self) -> int:
        """Bytes that stand on this card at every moment beside those of `_shared`."""
        return matrix_workspaces(self.options.chosen_card) - matrix_workspaces(self._shared.chosen_card)

    def largest_batch(self, limit: int) -> int:
        """The largest batch, at the step's sequence, whose blocks take at most `limit` bytes; 0 for none."""
        return _largest(self._batches, MOST_BATCH, limit - self._own - self.upcast, self._with_batch)

    def largest_sequence(self, limit: int) -> int:
        """The longest sequence, at the step's batch, whose blocks take at most `limit` bytes; 0 for none."""
        return _largest(self._sequences, MOST_SEQUENCE, limit - self._own - self.upcast, self._with_sequence)

    @cached_property
    def _batches(self) -> Course | None:
        return _course_of_batches(self.model, self.method, self._shared.resized(1, self.options.sequence))

    @cached_property
    def _sequences(self) -> Course | None:
        return _course_of_sequences(self.model, self.method, self._shared.resized(self.options.batch, 1))

    @cached_property
    def _study(self) -> Study:
        return studied(self.model, self.method)

    def _with_batch(self, batch: Any) -> list[Any]:
        """Bytes of the moments at another batch."""
        return moments_of(self._study, self._shared.resized(batch, self.options.sequence)).sizes()

    def _with_sequence(self, sequence: Any) -> list[Any]:
        """Bytes of the moments at another sequence."""
        return moments_of(self._study, self._shared.resized(self.options.batch, sequence)).sizes()


def searched(fits: Callable[[int], bool], limit: int) -> int:
    """The largest size from 1 to `limit` that fits, by doubling and halving; memory never falls as a size grows.

    >>> searched(lambda size: size * size <= 50, 100)
    7
    """
    if not fits(1):
        return 0
    low, high = 1, 2
    while high <= limit and fits(high):
        low, high = high, high * 2
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _largest(course: Course | None, most: int, limit: int, moments: Callable[[int], list[int]]) -> int:
    def fits(size: int) -> bool:
        return max(moments(size)) <= limit

    size = None if course is None else _solved(course, most, limit, fits)
    return searched(fits, most) if size is None else size


def _solved(course: Course, most: int, limit: int, fits: Callable[[int], bool]) -> int | None:
    """The largest size of a course that fits: in the first piece whose end does not; None where it ends too early."""

    def certainly(piece: Piece, size: int) -> bool:
        answer = piece.fits(size, limit)
        return fits(size) if answer is None else answer

    piece = next((piece for piece in course if not certainly(piece, piece.last)), None)
    if piece is None:
        return most if course[-1].last == most else None
    size = piece.about(limit)
    while size >= piece.first and not certainly(piece, size):
        size -= 1
    while certainly(piece, size + 1):  # it ends: the last one does not fit
        size += 1
    return size


@lru_cache(maxsize=KEPT)
def _course_of_batches(model: ModelShapes, method: Method, options: MemoryOptions) -> Course | None:
    return pieces(Step(model, method, options)._with_batch, MOST_BATCH, _largest_card())


@lru_cache(maxsize=KEPT)
def _course_of_sequences(model: ModelShapes, method: Method, options: MemoryOptions) -> Course | None:
    return pieces(Step(model, method, options)._with_sequence, MOST_SEQUENCE, _largest_card())


@lru_cache(maxsize=KEPT)
def _stands_for(known: Study, options: MemoryOptions) -> Gpu | None:
    """The card that stands for all with these kernels, at any size; None where torch runs the same without a card."""
    plain = options.on(None)
    same = known.setup(options).possible_kernels == known.setup(plain).possible_kernels
    return None if same else _like(options.chosen_card)


@lru_cache(maxsize=KEPT)
def _like(card: Gpu | None) -> Gpu | None:
    """The first known card on which torch decides alike, which stands for all of them."""
    return next((known for known in all_gpus() if alike(known, card)), card)


@cache
def _largest_card() -> int:
    """Bytes of the largest card that is known: what needs more is not followed."""
    return max(card.usable_bytes for card in all_gpus())

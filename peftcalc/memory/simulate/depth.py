"""Any depth at the cost of a few layers: the course of a step at depth D from its courses at two small depths.

In a model of equal layers the operators of a deeper step are those of a shallower one with one stretch repeated, in
each phase. Where operator `i` stands before or after the repeated stretch, its bytes are linear in the depth; within
it, they are linear in the depth and in the number of the repetition:

    before, after:   bytes(D) = low_i + (high_i − low_i) · t,          t = (D − d_low) / p
    repetition k:    bytes(D) = high_(q+r) + k · (high_(q+r) − high_(q+r−n)) + (t − 1) · (high_(q+r−n) − low_(q+r−n))

with p layers a repetition (1, or the period of alternating layers), n operators a repetition and the stretch beginning
at operator q. Everything is an integer, so that what is linear is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from peftcalc.memory.model_config import is_of_tower
from peftcalc.memory.records import PHASES
from peftcalc.memory.simulate.course import Course
from peftcalc.methods import LoRA, Method
from peftcalc.models.shapes import ModelShapes
from peftcalc.targets import is_target, pattern_value

FEWEST_LAYERS = 3
"""A first, a middle and a last layer: the first has no gradient to hand on, the last hands on to the head."""


@dataclass(frozen=True)
class Depths:
    """Two depths to trace, `period` layers apart, such that whole periods lead from them to the model's depth."""

    low: int
    period: int

    @property
    def high(self) -> int:
        """The deeper of the two."""
        return self.low + self.period


FEWEST_DIVIDED = 5
"""Where layers are gathered and reduced, the one before the last differs too: it holds what the last has sent."""


def depths_to_trace(shapes: ModelShapes, method: Method, language: Any, fewest: int = FEWEST_LAYERS) -> Depths | None:
    """The two smallest depths from which the model's own can be extrapolated; None where a full trace costs no more.

    Args:
        language: the configuration object of the language model.
        fewest: layers that the shallower one must have.
    """
    layers = getattr(language, "num_hidden_layers", 0)
    signatures = layer_signatures(shapes, method, layers, getattr(language, "layer_types", None))
    start, period = repetition(signatures)
    low = start + max(fewest, 2 * period)
    low += (layers - low) % period
    return Depths(low, period) if low + period < layers else None


def layer_signatures(shapes: ModelShapes, method: Method, layers: int, types: Any) -> list[tuple]:
    """For each layer what distinguishes it: its modules with their shapes, its attention's type, what is adapted."""
    kinds = types if isinstance(types, list | tuple) and len(types) == layers else [None] * layers
    found: list[list[Any]] = [[kind] for kind in kinds]
    for group in shapes.groups:
        if "{}" not in group.template or len(group.indices) > layers or is_of_tower(group.template):
            continue
        for index in group.indices:
            if index < layers:
                found[index].append((group.template, group.tensors, *_adaptation(group.name(index), method)))
    return [tuple(entries) for entries in found]


def _adaptation(name: str, method: Method) -> tuple[Any, ...]:
    """Whether the targets name this module, and the rank it gets."""
    if not isinstance(method, LoRA):
        return ()
    return is_target(name, method), pattern_value(method.rank_pattern, name, method.rank)


def repetition(signatures: list[tuple]) -> tuple[int, int]:
    """First layer `start` and `period` such that from there on layer i equals layer i + period; the cheapest to trace.

    >>> repetition(["a", "b", "b", "b", "b"]), repetition(["s", "f", "s", "f", "s"])
    ((1, 1), (0, 2))
    """
    count = len(signatures)
    if count == 0:
        return 0, 1
    best = (count, 1)
    for period in range(1, max(count // 2, 1) + 1):
        start = count - period
        while start > 0 and signatures[start - 1] == signatures[start - 1 + period]:
            start -= 1
        if start + 3 * period < best[0] + 3 * best[1]:
            best = (start, period)
    return best


def extrapolate(low: Course, high: Course, depths: Depths, layers: int) -> Course | None:
    """The course at `layers` layers from those at `depths`; None where their operators do not repeat."""
    repetitions = (layers - depths.low) // depths.period
    pieces = []
    for phase in PHASES:
        piece = _extrapolate_phase(_phase(low, phase), _phase(high, phase), repetitions)
        if piece is None:
            return None
        pieces.append(piece)
    return Course(
        tuple(name for piece in pieces for name in piece.operators),
        tuple(name for piece in pieces for name in piece.phases),
        np.concatenate([piece.parts for piece in pieces]),
        high.kernels,
        high.unused,  # it comes of the logits and of one layer's work, whatever the depth
    )


def _phase(course: Course, phase: str) -> Course:
    places = [index for index, name in enumerate(course.phases) if name == phase]
    return Course(tuple(course.operators[i] for i in places), (phase,) * len(places), course.parts[places])


def _extrapolate_phase(low: Course, high: Course, repetitions: int) -> Course | None:
    """One phase with the repeated stretch as often as needed: `repetitions` times more than in `low`."""
    length = len(high.operators) - len(low.operators)
    cut = _insertion(low.operators, high.operators)
    if cut is None:
        return None
    first, last = low.parts[:cut], low.parts[cut:]
    first_rise = high.parts[:cut] - first
    last_rise = high.parts[cut + length :] - last
    block = high.parts[cut : cut + length]
    before = slice(cut - length, cut)
    along, deeper = block - high.parts[before], high.parts[before] - low.parts[before]
    blocks = [block + k * along + (repetitions - 1) * deeper for k in range(repetitions)] if length else []
    names = [low.operators[:cut], *[high.operators[cut : cut + length]] * len(blocks), low.operators[cut:]]
    operators = tuple(name for part in names for name in part)
    parts = np.concatenate([first + repetitions * first_rise, *blocks, last + repetitions * last_rise])
    return Course(operators, high.phases[:1] * len(operators), parts)


def _insertion(low: tuple[str, ...], high: tuple[str, ...]) -> int | None:
    """Where in `low` the further operators of `high` stand; None where no place fits.

    Operators repeat, so many places do. The first layer differs from the others (its input asks for no gradient), and
    what it holds may outlast it, so that a place far behind it is taken, but not the last, which the head may touch.
    """
    length = len(high) - len(low)
    if length < 0:
        return None
    prefix = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    suffix = next((i for i, (a, b) in enumerate(zip(low[::-1], high[::-1], strict=False)) if a != b), len(low))
    earliest = max(len(low) - suffix, length)
    if earliest > prefix:
        return None
    return (earliest + 3 * prefix) // 4

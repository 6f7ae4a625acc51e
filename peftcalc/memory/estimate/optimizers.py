"""What an optimizer keeps on the GPU, what its update holds for a moment, and gradients that do not wait for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from peftcalc.counting.counts import Count, Part
from peftcalc.memory.estimate.terms import ADAFACTOR, ADAM, ADAM_8BIT, HOST_OPTIMIZER, IN_BACKWARD, Term
from peftcalc.memory.model_config import stays_float32
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import Precision
from peftcalc.methods import Method
from peftcalc.models.shapes import ModelShapes

SCALE_BLOCK = 256
"""Values that share one scale in an 8-bit optimizer."""


@dataclass(frozen=True)
class Trained:
    """Equal tensors that are trained, one in each of `repeats` layers, or one outside the layers."""

    shape: tuple[int, ...]
    repeats: int
    inside: bool
    float32: bool = False
    """True where it has four bytes a number whatever the dtype."""

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


def trained_tensors(model: ModelShapes, counted: Count, method: Method) -> tuple[Trained, ...]:
    """Every tensor that is trained, in the model's order: weights, or A, B, magnitudes and copies."""
    if not method.has_adapter:
        tensors = [(t, g) for g in model.groups for t in g.tensors if not t.tied_to]
        return tuple(
            Trained(t.shape, g.repeats, bool(g.indices), stays_float32(model.config, g.suffix)) for t, g in tensors
        )
    return tuple(
        Trained(shape, part.repeats, bool(part.indices)) for part in counted.parts for shape in _shapes(part) if shape
    )


def _shapes(part: Part) -> Iterator[tuple[int, ...]]:
    """Shapes of what one module trains; what is no pair A, B counts as one matrix as wide as the module."""
    factors = part.rank * (part.in_features + part.out_features)
    if part.how == "adapter" and part.rank and factors + part.magnitude == part.each + part.frozen:
        if not part.frozen:
            yield (part.rank, part.in_features)
        yield (part.out_features, part.rank)
        yield (part.magnitude,) if part.magnitude else ()
    elif part.how == "adapter":
        yield (max(part.each // max(part.in_features, 1), 1), max(part.in_features, 1))
    elif part.out_features and part.in_features and part.each % (part.in_features * part.out_features) == 0:
        yield (part.out_features, part.each // part.out_features)
    else:
        yield (part.each,)


def trained_bytes(counted: Count, method: Method, precision: Precision, tensors: tuple[Trained, ...]) -> int:
    """Bytes of the trained weights, which are also those of their gradients."""
    size = number_bytes(method, precision)
    return counted.trainable * size + (4 - size) * sum(t.repeats * t.numel for t in tensors if t.float32)


def number_bytes(method: Method, precision: Precision) -> int:
    """Bytes of one trained number."""
    return precision.adapter if method.has_adapter else precision.weight


def optimizer_term(
    counted: Count, method: Method, precision: Precision, options: MemoryOptions, tensors: tuple[Trained, ...]
) -> Term:
    """What the optimizer keeps from step to step on the GPU."""
    if options.optimizer_offload != "none":
        return Term("optimizer_states", "the optimizer's states are in the host's memory", "0", 0, HOST_OPTIMIZER)
    trained = counted.trainable
    size = trained_bytes(counted, method, precision, tensors)
    scales = 2 * 4 * -(-trained // SCALE_BLOCK)
    name, formula, total, source = {
        "adamw": ("AdamW's two moments", "2 · bytes of the trained weights", 2 * size, ADAM),
        "adamw_fused": ("AdamW's two moments", "2 · bytes of the trained weights", 2 * size, ADAM),
        "adamw_8bit": ("AdamW's two moments in 8 bits", "2·N + 8·N/256", 2 * trained + scales, ADAM_8BIT),
        "paged_adamw_8bit": ("scales of AdamW's paged moments", "8·N/256", scales, ADAM_8BIT),
        "paged_adamw_32bit": ("AdamW's moments are paged to the host", "0", 0, ADAM_8BIT),
        "adafactor": ("Adafactor's moments of rows and columns", "4 · Σ (out + in)", _factored(tensors), ADAFACTOR),
        "sgd": ("plain gradient descent keeps nothing", "0", 0, "torch.optim.SGD"),
        "sgd_momentum": ("one buffer of momentum", "bytes of the trained weights", size, "torch.optim.SGD"),
    }[options.optimizer]
    return Term("optimizer_states", name, formula, total, source)


def _factored(tensors: tuple[Trained, ...]) -> int:
    """A float32 number a row and one a column of each matrix; of a vector, one a number."""
    return 4 * sum(
        t.repeats * (t.numel // t.shape[-1] + t.numel // t.shape[-2] if len(t.shape) > 1 else t.numel) for t in tensors
    )


def update_term(method: Method, precision: Precision, options: MemoryOptions, tensors: tuple[Trained, ...]) -> Term:
    """What the update of all weights holds: AdamW for all tensors at once takes the root of every second moment.

    transformers' Adafactor goes from tensor to tensor with the squared gradient and the update in float32, and with
    copies of gradient and weight where these have fewer bits; the update before is still there.
    """
    size = number_bytes(method, precision)
    if options.optimizer == "adafactor" and options.optimizer_offload == "none":
        before = [0, *(t.numel for t in tensors)]
        held = max((_adafactor(t.numel, size) + 4 * n for t, n in zip(tensors, before, strict=False)), default=0)
        formula = "8·N_max + 4·N_before" if size == 4 else "16·N_max + 4·N_before"
        return Term("temporary_buffers", "Adafactor's update of one weight, in float32", formula, held, ADAFACTOR)
    takes_root = options.optimizer == "adamw" and options.optimizer_offload == "none"
    total = sum((4 if t.float32 else size) * t.repeats * t.numel for t in tensors) if takes_root else 0
    return Term("temporary_buffers", "roots of the second moments", "bytes of the trained weights", total, ADAM)


def _adafactor(numel: int, size: int) -> int:
    return (8 if size == 4 else 16) * numel


def one_update(
    method: Method, precision: Precision, options: MemoryOptions, tensors: tuple[Trained, ...], inside: bool
) -> tuple[Term, ...]:
    """The gradient of the largest weight inside or outside the layers and what its own update holds; none if none."""
    largest = max((t.numel for t in tensors if t.inside == inside), default=0)
    if not largest:
        return ()
    size = number_bytes(method, precision)
    on_card = options.optimizer_offload == "none"
    root = {"adamw": size * largest, "adafactor": _adafactor(largest, size)}.get(options.optimizer, 0) if on_card else 0
    where, source = "inside" if inside else "outside", ADAFACTOR if options.optimizer == "adafactor" else ADAM
    return (
        Term(
            "gradients",
            f"gradient of one weight, the largest {where} the layers",
            "g·N_max",
            size * largest,
            IN_BACKWARD,
        ),
        Term("temporary_buffers", "what its update holds", "g·N_max", root, source),
    )

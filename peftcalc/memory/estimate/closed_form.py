"""The memory of a training step in closed form: the same breakdown as the simulation, in under a millisecond.

A step's bytes rise and fall; the estimate computes the few moments at which they can be highest and takes the highest:
when the loss's backward pass begins, in a layer that is computed again, at the end of the backward pass, in the
optimizer's update. Every summand is a `Term` with its formula and source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from peftcalc.counting.count import known_method
from peftcalc.memory.allowances import reserved_allowance
from peftcalc.memory.estimate.moments import moments_of
from peftcalc.memory.estimate.notes import estimate_notes
from peftcalc.memory.estimate.study import studied, upcast_bytes
from peftcalc.memory.estimate.terms import Term
from peftcalc.memory.model_config import check_images
from peftcalc.memory.options import MemoryOptions, make_options
from peftcalc.memory.records import PARTS, MemoryBreakdown
from peftcalc.methods import Method
from peftcalc.models.configs.unsaid import settings
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

KEPT = 256
"""Estimates that are remembered; each is a record of some kilobytes."""


@dataclass(frozen=True)
class MemoryEstimate(MemoryBreakdown):
    """A breakdown at the estimated peak, with the terms that make it up.

    `terms` add up to `total`; `moments` holds the totals of all moments that were compared.
    """

    terms: tuple[Term, ...] = ()
    phase: str = "backward"
    """The phase in which the peak is expected, one of `peftcalc.memory.records.PHASES`."""
    moments: tuple[tuple[str, int], ...] = ()
    kernel: str = ""
    """What computes attention: "eager", "flash", "efficient" or "math"; where layers differ, all of them."""
    notes: tuple[str, ...] = ()
    """What a reader must know: where the formulas are less certain, a sequence beyond the model's context."""
    unshared_bytes: int = 0
    """Bytes of blocks that one part of the step leaves and no other is expected to use; NCCL's on several GPUs too."""
    apart_bytes: int = 0
    """Bytes if the parts that come and go within the step shared no block; at least the peak."""
    upcast_bytes: int = 0
    """Bytes that loading freed between the weights of a quantized model."""

    @property
    def reserved_bytes(self) -> int:
        """Expected torch.cuda.max_memory_reserved."""
        return self.peak + reserved_allowance(self.peak, self.unshared_bytes, self.upcast_bytes).expected_bytes

    @property
    def peak(self) -> int:
        """The same as `total`: allocated bytes at the peak."""
        return self.total

    def to_dict(self) -> dict[str, int]:
        """The eight parts and their bytes, in stacking order."""
        return {part: getattr(self, part) for part in PARTS}


def estimate_memory(
    shapes: ModelShapes | Any, method: Method, batch: int = 1, sequence: int = 2048, **options: Any
) -> MemoryEstimate:
    """Bytes that one training step allocates at its peak, by part, as `torch.cuda.max_memory_allocated` counts them.

    Args:
        shapes: what `load_model` returns, or anything that it accepts.
        method: one of the five.
        batch: sequences in one forward pass on one GPU.
        sequence: tokens of each.
        options: the named choices of `peftcalc.memory.options.MemoryOptions`.

    Raises:
        ValueError: an option out of its range, targets that match nothing, or a model that is not a transformer.

    >>> from peftcalc.methods import LoRA
    >>> estimate = estimate_memory({"model_type": "gpt2"}, LoRA(rank=8, targets=["c_attn"]), batch=1, sequence=128)
    >>> estimate.total == sum(term.bytes for term in estimate.terms)
    True
    """
    return estimated(load_model(shapes), known_method(method), make_options(batch=batch, sequence=sequence, **options))


@lru_cache(maxsize=KEPT)
def estimated(model: ModelShapes, method: Method, options: MemoryOptions) -> MemoryEstimate:
    """`estimate_memory` of a model and options that are read already; kept, because pages ask again and again."""
    check_images(model.id or model.architecture, settings(model), options.images, options.sequence)
    known = studied(model, method)
    moments = moments_of(known, options)
    highest = max(moments.real, key=lambda moment: moment.total)
    held, parts = moments.held(), dict.fromkeys(PARTS, 0)
    for term in highest.terms:
        parts[term.part] += term.bytes
    return MemoryEstimate(
        **parts,
        terms=tuple(term for term in highest.terms if term.bytes),
        phase=highest.phase,
        moments=tuple((moment.name, moment.total) for moment in moments.real),
        kernel=" and ".join(moments.setting.kernels),
        notes=tuple(estimate_notes(known.model, known.body, moments.setting)),
        unshared_bytes=held.unshared,
        apart_bytes=held.apart,
        upcast_bytes=upcast_bytes(known, options.resized(1, 1)),
    )

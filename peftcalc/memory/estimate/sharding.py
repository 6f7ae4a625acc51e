"""What one of several GPUs holds: its share of what is divided, and the units that are gathered while they work.

Under ZeRO stage 3 and FSDP a layer is a unit, gathered for its own work while the next is fetched; what lies outside
the layers (embeddings, last norm, head) is the root unit, gathered from the first use to the end of the backward pass.
In the update nothing is gathered, and the optimizer's buffers are as divided as its states. (ZeRO paper,
arXiv:1910.02054, section 5; PyTorch FSDP paper, arXiv:2304.11277, sections 3.2 and 4.)
"""

from __future__ import annotations

from dataclasses import dataclass

from peftcalc.memory.base_formats import FORMATS
from peftcalc.memory.estimate.model_state import shard
from peftcalc.memory.estimate.sizes import total_of
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.memory.estimate.terms import ZERO, Term
from peftcalc.memory.options import MemoryOptions
from peftcalc.models.shapes import ModelShapes

_FOUR_BITS = 0.516
"""Bytes of a weight in bitsandbytes' 4 bits with its doubly quantized scales."""

_CONSTANTS = 0.06
"""What scales and zero points add to the codes of other formats, at most."""


@dataclass(frozen=True)
class Moment:
    """A point of the step at which the bytes may be highest."""

    name: str
    phase: str
    terms: tuple[Term, ...]

    @property
    def total(self) -> int:
        return total_of([term.bytes for term in self.terms])


def sharded(moment: Moment, options: MemoryOptions) -> Moment:
    """The same moment on one of several GPUs."""
    if options.gpus == 1 or options.sharding == "ddp":
        return moment
    terms = tuple(
        Term(t.part, t.name, f"({t.formula}) / GPUs", divided, t.source) if divided != t.bytes else t
        for t in moment.terms
        for divided in (shard(t.bytes, t.part, options),)
    )
    return Moment(moment.name, moment.phase, terms)


def sharded_buffer(buffer: Term, options: MemoryOptions) -> Term:
    """What the update itself holds, divided as the optimizer's states are."""
    divided = shard(buffer.bytes, "optimizer_states", options)
    formula = f"({buffer.formula}) / GPUs" if divided != buffer.bytes else buffer.formula
    return Term(buffer.part, buffer.name, formula, divided, buffer.source)


def gathered(model: ModelShapes, setting: StepSetup) -> list[Term]:
    """With divided weights: two layers, the one at work and the next, and the root unit throughout."""
    if not _divides(setting, "zero3"):
        return []
    inside, outside = _units(model, setting)
    stored = FORMATS.get(setting.options.base_format)
    each = setting.precision.weight
    if setting.method.quantized:
        each = stored.bits / 8 * (1 + _CONSTANTS) if stored else _FOUR_BITS
    root = round(setting.precision.weight * outside)
    return [
        Term("temporary_buffers", "weights of two layers, gathered", "2 · e · N/L", round(2 * inside * each), ZERO),
        Term("temporary_buffers", "embeddings, last norm and head, gathered", "e · N_root", root, ZERO),
    ]


def whole_gradients(model: ModelShapes, setting: StepSetup) -> list[Term]:
    """Gradients that wait to be divided: those of the layer at work, and those of the root unit until the end."""
    if setting.method.has_adapter or not (_divides(setting, "zero2") or _divides(setting, "zero3")):
        return []
    size = round(sum(_units(model, setting)) * setting.precision.weight)
    return [
        Term("temporary_buffers", "gradients of one layer and the root unit, whole", "e · (N/L + N_root)", size, ZERO)
    ]


def _divides(setting: StepSetup, stage: str) -> bool:
    return setting.options.gpus > 1 and setting.options.sharding == stage


def _units(model: ModelShapes, setting: StepSetup) -> tuple[float, int]:
    """Parameters of one layer, and of what lies outside the layers; tied ones counted once."""
    inside = sum(group.parameters for group in model.groups if group.indices)
    outside = sum(t.numel for g in model.groups if not g.indices for t in g.tensors if not t.tied_to)
    return inside / setting.body.layers, outside

"""What one of several GPUs holds: its share of what is divided, and the units that are gathered while they work.

Under ZeRO stage 3 and FSDP a layer is a unit, gathered for its own work; in the backward pass the next is fetched
meanwhile, from the loss on, unless layers are checkpointed under FSDP1. What lies outside the layers (embeddings, last
norm, head) is the root unit, gathered from the first use to the end of the backward pass; so its gradients wait until
then. In the update nothing is gathered, and the optimizer's buffers are as divided as its states. (ZeRO paper,
arXiv:1910.02054, section 5; PyTorch FSDP paper, arXiv:2304.11277, sections 3.2, 4.) FSDP2 gathers into a buffer from
which it copies, and keeps the buffer of the forward pass until the next; gradients that were sent stay as long. Scales
of a quantized base are no parameters and lie whole on every GPU (bitsandbytes, `QuantState`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from peftcalc.memory.base_formats import FORMATS
from peftcalc.memory.estimate.growing.sizes import total_of
from peftcalc.memory.estimate.model_state import shard
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.memory.estimate.terms import DDP, FSDP, FSDP_HOOKS, ZERO, Term
from peftcalc.memory.options import MemoryOptions
from peftcalc.models.shapes import ModelShapes
from peftcalc.units import GIB

_FOUR_BITS = 0.5
"""Bytes of a weight in bitsandbytes' 4 bits; its scales are not divided, and so not gathered."""


COLLECTIVES = GIB
"""Buffers and channels of NCCL, and its part of the CUDA context."""


@dataclass(frozen=True)
class Moment:
    """A point of the step at which the bytes may be highest."""

    name: str
    phase: str
    terms: tuple[Term, ...]

    @cached_property
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


@dataclass(frozen=True)
class Gathered:
    """Whole weights on a GPU that has a share of them otherwise: the root unit throughout, and a few layers."""

    root: tuple[Term, ...] = ()
    layer_bytes: float = 0.0
    layers: tuple[int, int, int] = (0, 0, 0)
    """How many layers: under the loss, when its backward pass begins, while the last layer works backward."""
    twice: bool = False
    """Whether there is a buffer beside what is copied out of it (FSDP2)."""

    def with_layers(self, count: int) -> tuple[Term, ...]:
        """The root unit, and this many layers."""
        size, name = round(count * self.layer_bytes), "weights of the layer at work and the next, gathered"
        return (*self.root, Term("temporary_buffers", name, f"{count} · e · N/L", size, ZERO)) if size else self.root


def gathered(model: ModelShapes, setting: StepSetup) -> Gathered:
    """What is gathered where weights are divided."""
    if not _divides(setting, "zero3", "fsdp2"):
        return Gathered()
    twice = _divides(setting, "fsdp2")
    layers = (1, 1, 2) if twice else (0, 0, 1) if setting.options.checkpointing else (0, 1, 2)
    inside, outside = _units(model, setting)
    stored = FORMATS.get(setting.options.base_format)
    each = setting.precision.weight
    if setting.method.quantized:
        each = stored.bits / 8 if stored else _FOUR_BITS
    name, size = "embeddings, last norm and head, gathered", round(setting.precision.weight * outside)
    adapters = sum(part.held for part in setting.parts if part.how != "full" and part.indices)
    own = setting.precision.adapter * adapters / setting.body.layers
    return Gathered((Term("temporary_buffers", name, "e · N_root", size, ZERO),), inside * each + own, layers, twice)


def beside(units: Gathered, options: MemoryOptions) -> int:
    """Bytes on a card of several that no tensor of the step accounts for: buffers of NCCL, and units fetched ahead.

    FSDP gathers on a stream of its own, whose blocks no other uses, and lets two gathers run ahead
    (`limit_all_gathers`). What NCCL holds for two A100s was read from three measured rows; it is a judgement elsewhere.
    """
    return (COLLECTIVES + round(2 * units.layer_bytes)) if options.gpus > 1 else 0


def held_by_hooks(setting: StepSetup) -> tuple[Term, ...]:
    """Input and gradient of every layer that was computed again, until the backward pass is over.

    FSDP divides the frozen weights of a layer again when the gradients of its inputs are there, for which it has a hook
    on them. The hook holds the input's node of autograd, the node the input, and the input its gradient; the hooks go
    when the backward pass ends. Found in torch's code with three measured rows in sight (two A100s).
    """
    options = setting.options
    if not (_divides(setting, "zero3") and setting.method.has_adapter and options.checkpointing):
        return ()
    size = 2 * setting.handed_on * setting.body.width * options.tokens * (setting.body.layers - 1)
    name = "inputs of the layers behind and their gradients, which hooks of FSDP hold"
    return (Term("saved_activations", name, "2 · (L−1) · T · a·h", size, FSDP_HOOKS),)


def buckets(gradients: Term, options: MemoryOptions) -> Term:
    """What DDP sends gradients in: as many bytes again, which are made with the model and stay."""
    size = gradients.bytes if options.gpus > 1 and options.sharding == "ddp" else 0
    return Term("gradients", "buckets of DDP, into which gradients are copied", gradients.formula, size, DDP)


@dataclass(frozen=True)
class Whole:
    """Gradients of full fine-tuning that wait to be divided, and the buffers that are reduced and scattered."""

    waiting: tuple[Term, ...] = ()
    """Of the layer at work, and the head's, which waits for all of the root unit."""
    layer: tuple[Term, ...] = ()
    """The buffer into which a layer's gradients are copied."""
    behind: tuple[Term, ...] = ()
    """That of the layer behind, where it stays until the next is needed (FSDP2)."""
    root: tuple[Term, ...] = ()
    """At the end of the backward pass the root unit's gradients, and theirs."""


def whole_gradients(model: ModelShapes, setting: StepSetup) -> Whole:
    """Gradients that are divided a unit at a time, where they are: those of adapters are too small to tell."""
    if setting.method.has_adapter or not _divides(setting, "zero2", "zero3", "fsdp2"):
        return Whole()
    inside, outside = _units(model, setting)
    size = setting.precision.weight
    layer, root, head = round(size * inside), size * outside, size * head_numbers(model)
    waiting = "gradients of one layer and of the head, whole"
    ends = "gradients of embeddings, last norm and head, whole, and the buffer that is reduced"
    buffer = Term("temporary_buffers", "a layer's gradients in the buffer that is reduced", "e · N/L", layer, FSDP)
    return Whole(
        (Term("temporary_buffers", waiting, "e · (N/L + V·h)", layer + head, ZERO),),
        (buffer,),
        (buffer,) if _divides(setting, "fsdp2") else (),
        (Term("temporary_buffers", ends, "2 · e · N_root", 2 * root, FSDP),),
    )


def head_numbers(model: ModelShapes) -> int:
    """Parameters of the head, whose gradient comes first."""
    return sum(t.numel for group in model.groups if group.template == model.output_embedding for t in group.tensors)


def _divides(setting: StepSetup, *stages: str) -> bool:
    return setting.options.gpus > 1 and setting.options.sharding in stages


def _units(model: ModelShapes, setting: StepSetup) -> tuple[float, int]:
    """Parameters of one layer, and of what lies outside the layers; tied ones counted once."""
    inside = sum(group.parameters for group in model.groups if group.indices)
    outside = sum(t.numel for g in model.groups if not g.indices for t in g.tensors if not t.tied_to)
    return inside / setting.body.layers, outside

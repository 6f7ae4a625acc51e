"""What the memory calculators answer: plain frozen records, without torch, so that pages and figures can hold them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from peftcalc.lazy import Drawn

PHASES = ("load", "forward", "backward", "optimizer")
"""The parts of a training step, in order; loading the weights comes once, before the first."""

PARTS = {
    "base_weights": "base weights",
    "quantization_constants": "quantization constants",
    "adapters": "adapters",
    "gradients": "gradients",
    "optimizer_states": "optimizer states",
    "saved_activations": "saved activations",
    "logits_and_loss": "logits and loss",
    "temporary_buffers": "temporary buffers",
}
"""The eight parts of a breakdown: field name and the words for people, in the order in which bars are stacked."""


@dataclass(frozen=True)
class MemoryBreakdown(Drawn):
    """Where the bytes are at one moment of a training step; the parts add up to `total` exactly.

    >>> MemoryBreakdown(base_weights=1000, gradients=24).total
    1024
    """

    base_weights: int = 0
    """Weights and buffers of the model itself; 4-bit codes where the base is quantized; float32 masters included."""
    quantization_constants: int = 0
    """Block scales of a quantized base, their own scales when doubly quantized, and the code tables."""
    adapters: int = 0
    """A, B, DoRA's magnitudes, and modules that are trained as copies."""
    gradients: int = 0
    """Gradients of trained parameters."""
    optimizer_states: int = 0
    """What the optimizer keeps from step to step: AdamW's two moments, momentum buffers."""
    saved_activations: int = 0
    """What the forward pass keeps for the backward pass, casts of weights that autocast keeps included."""
    logits_and_loss: int = 0
    """All that is as wide as the vocabulary: logits, their float32 copy, log-probabilities, and gradients of these."""
    temporary_buffers: int = 0
    """What an operator or a few of them hold for a moment: dequantized weights, activation gradients, workspaces."""

    @property
    def total(self) -> int:
        """Sum of the eight parts, in bytes."""
        return sum(getattr(self, part) for part in PARTS)

    def to_dict(self) -> dict[str, int]:
        """Field names and bytes, in stacking order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class TimelinePoint:
    """Bytes that are allocated right after one operator of the step."""

    phase: str
    """One of `PHASES`."""
    operator: str
    """Name of the operator: "aten.mm"."""
    breakdown: MemoryBreakdown

    @property
    def allocated_bytes(self) -> int:
        """All bytes allocated at this point."""
        return self.breakdown.total


@dataclass(frozen=True)
class Allowance:
    """Bytes of the card that no tensor of the step accounts for: an expectation and the range in which it was seen."""

    name: str
    low_bytes: int
    expected_bytes: int
    high_bytes: int
    source: str
    """Where the range comes from."""


@dataclass(frozen=True)
class MemoryTrace(Drawn):
    """One simulated training step in the steady state: the optimizer's states exist already.

    `peak == breakdown.total`: what `torch.cuda.max_memory_allocated` would count, in bytes. What `nvidia-smi` shows is
    more: add the allowances.
    """

    peak: int
    """Highest bytes allocated at any operator."""
    phase: str
    """The phase in which the peak occurs, one of `PHASES`."""
    operator: str
    """The operator at which it occurs."""
    breakdown: MemoryBreakdown
    """The peak's bytes by role."""
    timeline: tuple[TimelinePoint, ...]
    """Points of the step in order, thinned to at most 2,000: every phase's ends and highs are kept."""
    operators: int
    """How many operators the whole step has."""
    reserved_allowance: Allowance
    """What the caching allocator holds above the allocated bytes."""
    context_allowance: Allowance
    """The CUDA context and its kernels, outside the allocator."""
    traced_layers: tuple[int, ...]
    """Depths that were traced: one number equal to the model's depth for a full trace, else those extrapolated from."""
    layers: int
    """The model's depth."""
    kernel: str = ""
    """What computed attention: "eager", "flash", "efficient" or "math"; where layers differ, all of them."""
    notes: tuple[str, ...] = ()
    """What a reader must know: a sequence beyond the model's context, a kernel that was assumed, …"""
    seconds: float = 0.0
    """Wall time of the simulation."""

    @property
    def reserved(self) -> int:
        """Expected `torch.cuda.max_memory_reserved`: the peak and the allocator's allowance, in bytes."""
        return self.peak + self.reserved_allowance.expected_bytes

    def telling_points(self, most: int) -> list[int]:
        """Indices of about `most` points of the timeline: the highest of each stretch, and both ends of each phase."""
        points = self.timeline
        count = len(points)
        stretch = max(1, -(-count // most))
        sizes = [point.allocated_bytes for point in points]
        highest = {max(range(s, min(s + stretch, count)), key=sizes.__getitem__) for s in range(0, count, stretch)}
        borders = {index for index in range(1, count) if points[index].phase != points[index - 1].phase}
        return sorted(highest | borders | {index - 1 for index in borders} | {0, count - 1})

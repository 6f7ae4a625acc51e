"""One kind of work of a training step: the seconds that the card needs for it, and the kernels that the host launches.

Symbols of the formulas are those of `peftcalc.memory.estimate.terms` (T tokens of one forward pass, S sequence, L
layers, h width, H heads, f width of the MLP, V vocabulary, r rank, N parameters; e, a, p, q, g bytes of one number of
the dtype, the hidden states, a product's result, attention, an adapter's weight), and F forward passes through the
layers, 1, or 2 under checkpointing; B bytes a second and P operations a second, both as reached and not as printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from peftcalc.memory.estimate.activations import is_layer_norm
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.models.shapes import ModelShapes
from peftcalc.speed.machine import Machine

COMPUTE, MEMORY, HOST = "compute", "memory", "host"
"""What a step waits for."""


@dataclass(frozen=True)
class Work:
    """What one kind of operator takes in one forward and backward pass, or in the update."""

    name: str
    formula: str
    seconds: float
    bound: str
    """What the card waits for: `COMPUTE`, `MEMORY` or, where it must answer first, `HOST`."""
    launches: float
    """Kernels that the host starts."""
    source: str


@dataclass(frozen=True)
class SpeedSetup:
    """A step to be timed: what memory knows of it, the card's rates, and who wrote the kernels."""

    step: StepSetup
    model: ModelShapes
    machine: Machine
    kernels: str = "eager"
    dequantization: str = "bitsandbytes"
    experts: str = "float"
    """The last three are choices of `peftcalc.speed.options`, two of them memory's too."""
    tokens: int = field(init=False)
    """T"""
    forwards: int = field(init=False)
    """F: passes forward through the layers."""
    backward: float = field(init=False)
    """Share of the layers through which gradients flow."""
    fused: bool = field(init=False)
    """True where norms, rotary embedding and loss are one kernel each."""
    fused_activations: bool = field(init=False)
    """True where gate, activation and product are one kernel."""
    fused_adapters: bool = field(init=False)
    """True where an adapter's casts and sums are part of its products."""

    def __post_init__(self) -> None:
        store, method, options = object.__setattr__, self.step.method, self.step.options
        kernels = self.kernels if self.kernels == "compiled" or self.has_fused_kernels else "eager"
        everywhere = kernels in ("unsloth", "compiled") or (kernels == "fused" and method.quantized)
        store(self, "tokens", options.tokens)
        store(self, "forwards", 2 if options.checkpointing else 1)
        store(self, "backward", self.step.reached)
        store(self, "fused", kernels != "eager")
        store(self, "fused_activations", kernels in ("liger", "unsloth", "compiled"))
        store(self, "fused_adapters", everywhere and not method.decomposed)

    @property
    def has_fused_kernels(self) -> bool:
        """The collections of fused kernels are for families with RMSNorm; others run as they are."""
        return not any(is_layer_norm(group) for group in self.step.body.norms)

    @property
    def float32_products(self) -> bool:
        """True where the base's own matrix products run on the float32 units."""
        precision = self.step.precision
        plain = precision.weight == 4 and not precision.autocast and not self.step.method.quantized
        return precision.dtype == 4 or plain

    def traffic(
        self, name: str, formula: str, size: float, launches: float, source: str, tensor: float = math.inf
    ) -> Work:
        """Elementwise work: `size` bytes through the card's memory, or its cache, where `tensor` bytes fit there."""
        return Work(name, formula, self.machine.traffic(size, tensor), MEMORY, launches, source)

"""What is estimated: a model's anatomy under a method and its options; and a term of what it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from peftcalc.counting.counts import Part
from peftcalc.memory.estimate.anatomy import Anatomy
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import Precision
from peftcalc.methods import LoRA, Method


@dataclass(frozen=True)
class Saved:
    """Bytes kept by one kind of operator in all layers."""

    name: str
    formula: str
    bytes: float
    source: str


@dataclass(frozen=True)
class StepSetup:
    """Everything that decides what is kept."""

    body: Anatomy
    method: Method
    parts: tuple[Part, ...]
    precision: Precision
    options: MemoryOptions

    @property
    def trained(self) -> bool:
        """True for full fine-tuning."""
        return not self.method.has_adapter

    @cached_property
    def adapters(self) -> dict[str, list[Part]]:
        """Adapters by the template of the module that they adapt."""
        found: dict[str, list[Part]] = {}
        for part in self.parts:
            if part.how == "adapter":
                found.setdefault(part.module, []).append(part)
        return found

    @property
    def adapters_keep_inputs(self) -> bool:
        """False where A is frozen: the gradient of B needs `A x` alone (LoRA-FA, section 3.2)."""
        return not (isinstance(self.method, LoRA) and self.method.freeze_a)

    @property
    def written_out(self) -> bool:
        """True when attention is not fused: by choice, or because the model has no other."""
        return self.options.attention == "eager" or self.body.written_out

    @cached_property
    def reached(self) -> float:
        """Share of the layers through which gradients flow: none below the first adapter.

        Checkpointing needs gradients at the first layer's input, so there it is 1.
        """
        lowest = [min(part.indices) for part in self.parts if part.how == "adapter" and part.indices]
        if self.trained or self.options.checkpointing or not lowest or len(lowest) < len(self.adapters):
            return 1.0
        return 1 - min(lowest) / self.body.layers

"""What a method does to a model, whatever the sizes and options of the step: read once, and kept by content."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from peftcalc.counting.count import count
from peftcalc.counting.counts import Count
from peftcalc.memory.estimate.activations import is_layer_norm
from peftcalc.memory.estimate.anatomy import Anatomy, anatomy
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import precision_of
from peftcalc.methods import Method
from peftcalc.models.shapes import ModelShapes

KEPT = 1024
"""Studies that are remembered; each is a record of some kilobytes."""


@dataclass(frozen=True, eq=False)
class Study:
    """A model's anatomy and what a method trains of it."""

    model: ModelShapes
    method: Method
    counted: Count
    body: Anatomy

    def setup(self, options: MemoryOptions) -> StepSetup:
        """What decides what a step with these options keeps."""
        return StepSetup(
            self.body, self.method, self.counted.parts, precision_of(self.method, options, self._fused_norms), options
        )

    @cached_property
    def _fused_norms(self) -> bool:
        return any(is_layer_norm(group) for group in self.body.norms)


@lru_cache(maxsize=KEPT)
def studied(model: ModelShapes, method: Method) -> Study:
    """The study of a model and a method.

    Raises:
        ValueError: as `count` and `anatomy`.
    """
    return Study(model, method, count(model, method), anatomy(model))

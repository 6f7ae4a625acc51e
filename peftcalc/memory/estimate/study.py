"""What a method does to a model, whatever the sizes and options of the step: read once, and kept by content."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from peftcalc.counting.count import count
from peftcalc.counting.counts import Count, Part
from peftcalc.memory.estimate.activations import is_layer_norm
from peftcalc.memory.estimate.anatomy import HEADS, MLP_HIDDEN, MLP_INPUT, Anatomy, anatomy
from peftcalc.memory.estimate.step_setup import Layer, StepSetup
from peftcalc.memory.model_config import is_of_tower
from peftcalc.memory.options import DTYPE_BYTES, MemoryOptions
from peftcalc.memory.precision import precision_of
from peftcalc.methods import Method
from peftcalc.models.configs.unsaid import settings
from peftcalc.models.shapes import ModelShapes, ModuleGroup

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
        precision = precision_of(self.method, options, self._fused_norms, self._scaled_blocks)
        precision = replace(precision, logits=4) if self.body.wide_logits else precision
        return StepSetup(self.body, self.method, self.counted.parts, precision, options, self._kinds)

    def heard(self, options: MemoryOptions) -> MemoryOptions:
        """The options with the positions that a layer sees on the average.

        Whisper's encoder hears its own number of them, whatever the sequence, which is that of the decoder alone.
        """
        config = settings(self.model)
        if not (positions := config.get("max_source_positions")):
            return options
        above, below = (config[f"{stack}_layers"] for stack in ("encoder", "decoder"))
        mean = round((above * positions + below * options.sequence) / (above + below))
        return options.resized(options.batch, mean)

    @cached_property
    def _kinds(self) -> tuple[Layer, ...]:
        """An encoder's layers and a decoder's, dense ones and those with experts, those with adapters and without."""
        modules = [group for group in self.model.groups if group.indices and not is_of_tower(group.template)]
        trained = [part for part in self.counted.parts if part.indices and not is_of_tower(part.module)]
        places = [(group.template.partition("{}")[0], group.indices, group) for group in modules]
        places += [(part.module.partition("{}")[0], part.indices, part) for part in trained]
        if len({(stack, indices) for stack, indices, _ in places}) == 1:
            return ()
        layers: dict[tuple[str, int], list[ModuleGroup | Part]] = {}
        for stack, indices, one in places:
            for index in indices:
                layers.setdefault((stack, index), []).append(one)
        kinds = {tuple(map(id, inside)): inside for inside in layers.values()}
        known = [layer for layer in map(self._alone, kinds.values()) if layer is not None]
        return tuple(known) if len(kinds) > 1 else ()

    def _alone(self, inside: list[ModuleGroup | Part]) -> Layer | None:
        """A model of this layer; None where it has no attention, as one of state spaces."""
        here = set(map(id, inside))
        groups = (group for group in self.model.groups if not group.indices or id(group) in here)
        first = tuple(replace(group, indices=(0,)) if group.indices else group for group in groups)
        try:
            body = anatomy(replace(self.model, groups=first))
        except ValueError:
            return None
        return Layer(body, tuple(replace(one, indices=(0,)) for one in inside if isinstance(one, Part)))

    @cached_property
    def _fused_norms(self) -> bool:
        return any(is_layer_norm(group) for group in self.body.norms)

    @cached_property
    def _scaled_blocks(self) -> bool:
        """Whether DoRA adapts an output projection or a layer of an MLP, whose results reach the hidden states."""
        ends = {x.group.template for x in self.body.linears if x.reads in (HEADS, MLP_INPUT, MLP_HIDDEN)}
        adapted = {part.module for part in self.counted.parts if part.how == "adapter"}
        return self.method.decomposed and not ends.isdisjoint(adapted)


@lru_cache(maxsize=KEPT)
def studied(model: ModelShapes, method: Method) -> Study:
    """The study of a model and a method.

    Raises:
        ValueError: as `count` and `anatomy`.
    """
    return Study(model, method, count(model, method), anatomy(model))


@lru_cache(maxsize=256)
def upcast_bytes(known: Study, options: MemoryOptions) -> int:
    """Bytes that the float32 upcast of embeddings and head frees while a quantized model is loaded: `e · N_outside`.

    Their half-precision copies lay between other weights, so that the card does not get these bytes back, and a block
    as large as the logits does not fit into them. (peft 0.21, `prepare_model_for_kbit_training`; transformers 5.23
    takes one block for all weights, `caching_allocator_warmup`.)
    """
    if not (known.method.quantized and options.kbit_upcast) or options.dtype == "float32":
        return 0
    outside = (tensor for group in known.model.groups if not group.indices for tensor in group.tensors)
    return DTYPE_BYTES[options.dtype] * sum(tensor.numel for tensor in outside if not tensor.tied_to)

"""The tower that sees pictures: what it keeps of them from its forward pass, the first, to its backward pass, the last.

A tower that is frozen without adapters keeps nothing, for nothing before it asks for a gradient; unless layers are
checkpointed over a frozen base, where transformers lets the embeddings of every part ask for one
(`enable_input_require_grads`). Its layers are those of a transformer over patches, with the terms of any other.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from peftcalc.memory.estimate.activations import saved_in_layers
from peftcalc.memory.estimate.anatomy import Anatomy, anatomy
from peftcalc.memory.estimate.kept import at_work, kept
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.memory.estimate.study import Study
from peftcalc.memory.estimate.terms import Term
from peftcalc.memory.estimate.transients import backward_work
from peftcalc.memory.model_config import image_patches, is_of_tower
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import precision_of
from peftcalc.models.configs.unsaid import settings
from peftcalc.models.shapes import ModelShapes

SOURCE = "the traced step of LLaVA, PaliGemma and Gemma 3; transformers 5.23, modeling_utils.py"


@lru_cache(maxsize=64)
def tower_of(model: ModelShapes) -> Anatomy:
    """The tower as a model of its own, without embeddings and head."""
    seen = dict(settings(model)["vision_config"])
    own = "quick_gelu" if str(seen.get("model_type")).startswith("clip") else "gelu_pytorch_tanh"
    config = {"hidden_act": own} | seen
    return anatomy(replace(model, config=config, input_embedding=None, output_embedding=None), tower=True)


def tower_terms(known: Study, options: MemoryOptions) -> tuple[list[Term], list[Term]]:
    """What the tower keeps of all pictures of a batch, and what its last layer holds beside that when it works."""
    if not options.images:
        return [], []
    body = tower_of(known.model)
    seen = options.resized(options.batch * options.images, image_patches(settings(known.model)))
    precision = precision_of(known.method, options, layer_norms=True)
    setting = StepSetup(body, known.method, known.counted.parts, precision, seen)
    adapted = any(part.how == "adapter" and is_of_tower(part.module) for part in known.counted.parts)
    if not (adapted or setting.trained or options.checkpointing):
        return [], []
    layers = saved_in_layers(setting)
    stay = [_of_pictures(term) for term in kept(layers, setting)]
    again = at_work(layers, setting) if options.checkpointing else []
    work = Term(
        "temporary_buffers", "gradients of the MLP's hidden values", "T · 2·p·f", backward_work(setting), SOURCE
    )
    return stay, [*(_of_pictures(term) for term in again), work]


def _of_pictures(term: Term) -> Term:
    return Term(term.part, f"vision tower: {term.name}", term.formula, term.bytes, term.source)

"""Targets that name the projections of single experts, translated to a counted model whose experts are stacked; see
`peftcalc.targets.experts.stacked_targets`."""

from __future__ import annotations

from peftcalc.methods import LoRA
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes
from peftcalc.targets.experts import stacked_targets as translated


def stacked_targets(shapes: ModelShapes, method: LoRA) -> LoRA:
    """The method with its targets translated to this model's expert stacks; unchanged for other models.

    Raises:
        ValueError: one of two fused projections is targeted without the other.
    """
    if shapes.expert_names is None:
        return method
    linear = [g.suffix for g in shapes.groups if g.kind in LINEAR_KINDS and g.template != shapes.output_embedding]
    names = (
        key
        for group in (*shapes.groups, *shapes.bare)
        for name in group.names
        for key in (name, *(f"{name}.{tensor.name}" for tensor in group.tensors))
    )
    return translated(
        method,
        shapes.expert_names,
        linear,
        names,
        lambda parameter: (name for group in shapes.groups if group.tensor(parameter) for name in group.names),
    )

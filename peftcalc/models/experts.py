"""Targets that name the projections of single experts, translated to models whose experts are stacked.

Older releases of transformers had one linear layer per expert and projection ("w1", "gate_proj"); now all experts of a
layer are one 3-D parameter ("gate_up_proj"), in which gate and up are fused. peft 0.21 translates targets of the first
form into `target_parameters`, and doubles the rank of the fused parameter because it holds two projections
(utils/transformers_weight_conversion.py). `all-linear` meant those projections too, so it is translated likewise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from peftcalc.methods import ALL_LINEAR, LoRA
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes
from peftcalc.targets import is_target

PARAMETER_OF = {
    "mixtral": {"gate": "gate.weight", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"},
    "qwen2_moe": {
        "gate": "gate.weight",
        "gate_proj": "gate_up_proj",
        "up_proj": "gate_up_proj",
        "down_proj": "down_proj",
    },
}
"""The parameter in which each former layer lives now, by naming convention."""

FUSED = {"mixtral": ("w1", "w3"), "qwen2_moe": ("gate_proj", "up_proj")}
"""The former layers that are one parameter, `gate_up_proj`, now."""


def stacked_targets(shapes: ModelShapes, method: LoRA) -> LoRA:
    """The method with its targets translated to this model's expert stacks; unchanged for other models.

    Raises:
        ValueError: one of two fused projections is targeted without the other.
    """
    family = shapes.expert_names
    if family is None:
        return method
    parameter_of = PARAMETER_OF[family]
    targets = _leaf_names(shapes, method, parameter_of)
    if not targets:
        return method
    former = {target: _former_layer(target, parameter_of) for target in targets}
    kept = tuple(target for target in targets if former[target] is None)
    layers = {name for name in former.values() if name is not None}
    parameters = {parameter_of[name] for name in layers}
    fused = FUSED[family]
    present = layers & set(fused)
    if len(present) == 1:
        missing = next(name for name in fused if name not in present)
        raise ValueError(
            f"{present.pop()} cannot be a target without {missing}: this model stores both in one parameter, "
            "gate_up_proj"
        )
    patterns = dict(method.rank_pattern)
    if present:
        patterns[r".*\.gate_up_proj"] = method.rank * len(fused)
    return replace(
        method,
        targets=kept,
        target_parameters=tuple(sorted({*method.target_parameters, *parameters})),
        rank_pattern=patterns,
    )


def _former_layer(target: str, parameter_of: Iterable[str]) -> str | None:
    return next((name for name in parameter_of if target == name or target.endswith(f".{name}")), None)


def _leaf_names(shapes: ModelShapes, method: LoRA, parameter_of: dict[str, str]) -> tuple[str, ...]:
    """The targets as names: a list as it is, `all-linear` and a regular expression by what they match."""
    if not isinstance(method.targets, str):
        return tuple(method.targets)
    if method.targets == ALL_LINEAR:
        linear = (group for group in shapes.groups if group.kind in LINEAR_KINDS)
        return tuple(
            {g.suffix: None for g in linear if g.template != shapes.output_embedding} | dict.fromkeys(parameter_of)
        )
    matched: dict[str, None] = {}
    for group in (*shapes.groups, *shapes.bare):
        for name in group.names:
            keys = [name, *(f"{name}.{tensor.name}" for tensor in group.tensors)]
            matched |= {key.rpartition(".")[2]: None for key in keys if key and is_target(key, method)}
    for former, parameter in parameter_of.items():
        holders = (name for group in shapes.groups if group.tensor(parameter) for name in group.names)
        if former not in matched and any(is_target(f"{name}.{former}", method) for name in holders):
            matched[former] = None
    return tuple(matched)

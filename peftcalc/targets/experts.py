"""Targets that name single experts, for models whose experts are stacked.

Older releases of transformers had one linear layer per expert and projection ("w1", "gate_proj"); now all experts of a
layer are one 3-D parameter ("gate_up_proj"), in which gate and up are fused. peft 0.21 translates targets of the first
form into `target_parameters`, and doubles rank and alpha of the fused parameter because it holds two projections
(utils/transformers_weight_conversion.py). `all-linear` meant those projections too, so it is translated likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from peftcalc.methods import ALL_LINEAR, LoRA
from peftcalc.targets import is_target

FORMER_LAYERS = {
    "mixtral": {"gate": "gate.weight", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"},
    "qwen2_moe": {
        "gate": "gate.weight",
        "gate_proj": "gate_up_proj",
        "up_proj": "gate_up_proj",
        "down_proj": "down_proj",
    },
}
"""The parameter in which each former layer of an expert lives now, by naming convention."""

FUSED = {"mixtral": ("w1", "w3"), "qwen2_moe": ("gate_proj", "up_proj")}
"""The former layers that are one parameter, `gate_up_proj`, now."""


def expert_family(module: Any) -> str | None:
    """The convention by which peft renames targets of this model's type, if its experts are stacked in this release.

    The table is transformers'; peft adds Mixtral itself (peft 0.21, utils/transformers_weight_conversion.py).
    """
    from transformers.conversion_mapping import _MODEL_TO_CONVERSION_PATTERN, get_checkpoint_conversion_mapping

    model_type = str(module.config.model_type)
    if get_checkpoint_conversion_mapping(model_type) is None:
        return None
    family = "mixtral" if model_type == "mixtral" else _MODEL_TO_CONVERSION_PATTERN.get(model_type)
    return family if family in FORMER_LAYERS else None


def stacked_targets(
    method: LoRA,
    family: str,
    linear: Iterable[str],
    names: Iterable[str],
    holders: Callable[[str], Iterable[str]],
) -> LoRA:
    """The method with its targets translated to a model whose experts are stacked.

    Args:
        method: what was asked for.
        family: the naming convention of the model, a key of `FORMER_LAYERS`.
        linear: last parts of the names of its linear layers, without the head.
        names: of all its modules and parameters.
        holders: names of the modules that own a parameter of the given name.

    Raises:
        ValueError: one of two fused projections is targeted without the other.
    """
    parameter_of, fused = FORMER_LAYERS[family], FUSED[family]
    targets = _leaf_names(method, parameter_of, linear, names, holders)
    if not targets:
        return method
    former = {target: _former_layer(target, parameter_of) for target in targets}
    layers = {name for name in former.values() if name is not None}
    present = layers & set(fused)
    if len(present) == 1:
        missing = next(name for name in fused if name not in present)
        raise ValueError(
            f"{present.pop()} cannot be a target without {missing}: this model stores both in one parameter, "
            "gate_up_proj"
        )
    ranks, alphas = dict(method.rank_pattern), dict(method.alpha_pattern)
    if present:
        ranks[r".*\.gate_up_proj"] = method.rank * len(fused)
        alphas[r".*\.gate_up_proj"] = method.alpha * len(fused)
    return replace(
        method,
        targets=tuple(target for target in targets if former[target] is None),
        target_parameters=tuple(sorted({*method.target_parameters, *(parameter_of[name] for name in layers)})),
        rank_pattern=ranks,
        alpha_pattern=alphas,
    )


def names_parameter(full: str, targets: Iterable[str]) -> bool:
    """True when `target_parameters` name the parameter called `full`: equal to a name, or ending with it after a dot.

    >>> names_parameter("layers.0.mlp.experts.down_proj", ["experts.down_proj"])
    True
    """
    return any(full == target or full.endswith(f".{target}") for target in targets)


def _former_layer(target: str, parameter_of: Iterable[str]) -> str | None:
    return next((name for name in parameter_of if target == name or target.endswith(f".{name}")), None)


def _leaf_names(
    method: LoRA,
    parameter_of: Mapping[str, str],
    linear: Iterable[str],
    names: Iterable[str],
    holders: Callable[[str], Iterable[str]],
) -> tuple[str, ...]:
    """The targets as names: a list as it is, `all-linear` and a regular expression by what they match."""
    if not isinstance(method.targets, str):
        return tuple(method.targets)
    if method.targets == ALL_LINEAR:
        return tuple(dict.fromkeys(linear) | dict.fromkeys(parameter_of))
    matched = {name.rpartition(".")[2]: None for name in names if name and is_target(name, method)}
    for former, parameter in parameter_of.items():
        if former not in matched and any(is_target(f"{name}.{former}", method) for name in holders(parameter)):
            matched[former] = None
    return tuple(matched)

"""Which single parameters of a module a method adapts: stacks of experts, and routers, which are no layers."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from peftcalc.methods import LoRA
from peftcalc.methods.starts import changes_base, rounds
from peftcalc.targets.experts import expert_family, names_parameter, stacked_targets


def translated(module: Any, method: LoRA, linear: list[str]) -> LoRA:
    """The method with its targets translated to a transformers model whose experts are stacked (`targets.experts`)."""
    transformers_models = sys.modules.get("transformers.modeling_utils")
    if transformers_models is None or not isinstance(module, transformers_models.PreTrainedModel):
        return method
    family = expert_family(module)
    if family is None:
        return method
    owners = dict(module.named_modules())
    parameters = [f"{name}.{own}" for name, owner in owners.items() for own in owner._parameters]
    return stacked_targets(
        method,
        family,
        [name.rpartition(".")[2] for name in linear],
        [*owners, *parameters],
        lambda parameter: (name for name, owner in owners.items() if parameter in owner._parameters),
    )


def choose_parameters(
    module: nn.Module, method: LoRA, asked_for: tuple[str, ...], adapted: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """The parameters that `method.target_parameters` name, by the module that owns them.

    Args:
        module: the module.
        method: the method, its targets translated.
        asked_for: those names that a person gave.
        adapted: the layers that get an adapter of their own.

    Raises:
        ValueError: nothing is called by a name that a person gave, or peft would refuse it: by dropout, DoRA or a
            bias, by its shape, by a start that reads a matrix, at the top of the module, or where its layer is adapted.
    """
    found: dict[str, tuple[str, ...]] = {}
    asked_and_found = False
    for owner, part in module.named_modules() if method.target_parameters else ():
        for own, parameter in part._parameters.items():
            full = f"{owner}.{own}"
            if parameter is not None and names_parameter(full, method.target_parameters):
                _check(full, parameter, method)
                if not owner or owner in adapted:
                    where = f"{owner!r} itself is a target" if owner else "it belongs to the outermost module"
                    raise ValueError(f"the parameter {full!r} cannot be adapted: {where}; peft refuses it too")
                found[owner] = (*found.get(owner, ()), own)
                asked_and_found |= names_parameter(full, asked_for)
    if asked_for and not asked_and_found:
        raise ValueError(f"target_parameters {', '.join(map(repr, asked_for))} match no parameter of this module")
    return found


def _check(full: str, parameter: nn.Parameter, method: LoRA) -> None:
    for refused, what in ((method.decomposed, "DoRA"), (method.dropout, "dropout"), (method.lora_bias, "lora_bias")):
        if refused:
            raise ValueError(
                f"{full} is a bare parameter (an expert stack or a router), which cannot be adapted with {what}; peft "
                "refuses it too; choose targets without experts"
            )
    if parameter.dim() not in (2, 3) or not parameter.is_floating_point():
        what = f"{parameter.dtype} of shape {tuple(parameter.shape)}"
        raise ValueError(f"a parameter must have 2 or 3 dimensions, in floats, to be adapted; {full} is {what}")
    if rounds(method.init):
        raise ValueError(
            f"init={method.init!r} begins with what 4 bits lose of a linear layer, and {full} is a bare parameter, "
            "which stays in floats; leave it out"
        )
    if changes_base(method.init) and (parameter.dim() != 2 or full.rpartition(".")[2] != "weight"):
        raise ValueError(
            f"init={method.init!r} reads a matrix called weight, and {full} is a bare parameter of another kind (a "
            "stack of experts); peft refuses it too"
        )

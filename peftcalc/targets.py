"""Which modules a method's `targets` name, decided as peft 0.21 decides it.

A string is a regular expression that must match the whole module name; a collection matches a name that equals an entry
or ends with `.entry`. Patterns come from visitors, so they run under a time limit.

Older releases of transformers had one linear layer per expert and projection ("w1", "gate_proj"); now all experts of a
layer are one 3-D parameter ("gate_up_proj"), in which gate and up are fused. peft 0.21 translates targets of the first
form into `target_parameters`, and doubles rank and alpha of the fused parameter because it holds two projections
(utils/transformers_weight_conversion.py). `all-linear` meant those projections too, so it is translated likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import regex  # the one engine with a time limit: a visitor's pattern must not hang the server

from peftcalc.checks import nearest
from peftcalc.methods import ALL_LINEAR, LoRA, Targets

PATTERN_SECONDS = 0.5

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


def is_target(name: str, method: LoRA) -> bool:
    """True when `targets` name this module and nothing takes it out again.

    `all-linear` names every module here: the caller first asks whether the module is a linear layer.

    >>> is_target("model.layers.0.self_attn.q_proj", LoRA(targets=["q_proj"]))
    True
    >>> is_target("model.layers.3.self_attn.q_proj", LoRA(targets=["q_proj"], layers_to_transform=(0, 1)))
    False
    """
    if is_excluded(name, method):
        return False
    if method.targets == "all-linear":
        return _in_chosen_layers(name, method)
    if not isinstance(method.targets, str) and name in method.targets:
        return True  # a full name is meant whatever its layer
    return _named(name, method.targets) and _in_chosen_layers(name, method)


def is_excluded(name: str, method: LoRA) -> bool:
    """True when `exclude` names the module or `modules_to_save` contains it: peft adapts neither."""
    if method.exclude and _named(name, method.exclude):
        return True
    return any(_match(rf"(^|.*\.){saved}($|\..*)", name) for saved in method.modules_to_save)


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


def pattern_value(patterns: Mapping[str, Any], name: str, default: Any) -> Any:
    """The value of the first pattern that matches the end of `name` (`rank_pattern`, `alpha_pattern`), or the default.

    >>> pattern_value({"q_proj": 4}, "layers.0.q_proj", 8), pattern_value({"q_proj": 4}, "layers.0.v_proj", 8)
    (4, 8)
    """
    for pattern, value in patterns.items():
        if _match(rf"(.*\.)?({pattern})$", name):
            return value
    return default


def no_match_error(targets: Targets, names: Iterable[str]) -> ValueError:
    """The sentence for targets that match nothing: the names that exist, and the nearest ones."""
    suffixes = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in names))
    suffixes = [suffix for suffix in suffixes if not suffix.isdigit()]
    wanted = [targets] if isinstance(targets, str) else list(targets)
    near = list(dict.fromkeys(match for want in wanted for match in nearest(want.rsplit(".", 1)[-1], suffixes, 1)))
    shown = ", ".join(suffixes[:24]) + (", …" if len(suffixes) > 24 else "")
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return ValueError(f"targets {', '.join(map(repr, wanted))} match no module; this model has {shown}{hint}")


def _named(name: str, targets: Targets) -> bool:
    if isinstance(targets, str):
        return _match(rf"(?:{targets})\Z", name)
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _in_chosen_layers(name: str, method: LoRA) -> bool:
    """The first numbered segment of the name is the layer index (peft takes the first, not an expert's number)."""
    if method.layers_to_transform is None or len(method.layers_to_transform) == 0:
        return True
    patterns = method.layers_pattern or ()
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    expressions = [rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\." for pattern in patterns] or [r".*?\.[^.]*\.(?P<idx>\d+)\."]
    for expression in expressions:
        found = _search_start(expression, name)
        if found:
            return int(found.group("idx")) in method.layers_to_transform
    return False


def _match(expression: str, name: str) -> bool:
    return _search_start(expression, name) is not None


def _search_start(expression: str, name: str) -> Any:
    """`re.match` with a time limit."""
    try:
        return regex.match(expression, name, timeout=PATTERN_SECONDS)
    except regex.error as error:
        raise ValueError(f"not a regular expression: {error}, in {expression!r}") from None
    except TimeoutError:
        raise ValueError(f"the regular expression {expression!r} takes too long to match; write it simpler") from None

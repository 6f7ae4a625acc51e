"""Which modules of a model a method adapts, and at which rank, decided as peft 0.21 decides it.

Layers are equal, so a decision is taken once for all layers unless something in the method can tell them apart: a
regular expression, a digit in a name, chosen layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from peftcalc.methods import ALL_LINEAR, LoRA
from peftcalc.models.experts import stacked_targets
from peftcalc.models.parts import first_name
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes, ModuleGroup, Tensor
from peftcalc.targets import is_excluded, is_target, no_match_error, pattern_value
from peftcalc.targets.experts import names_parameter

_PLAIN = re.compile(r"[A-Za-z_]+(\.[A-Za-z_]+)*")
_ANYWHERE = r".*\."
"""How a pattern for an expert stack begins, as peft writes it."""

_MAMBA_TYPES = ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h")
_MAMBA_REFUSED = ("out_proj", "conv1d")
_CONTAINERS = ("ModuleList", "ModuleDict", "ParameterList", "ParameterDict")


@dataclass(frozen=True)
class Adapted:
    """Equal modules that get equal adapters.

    Args:
        group: the modules.
        indices: the layers among the group's that are adapted; empty for one module without a number.
        rank: r of the adapter.
        parameter: the one `nn.Parameter` of the module that is adapted (an expert stack), None for the whole module.
    """

    group: ModuleGroup
    indices: tuple[int, ...]
    rank: int
    parameter: Tensor | None = None

    @property
    def repeats(self) -> int:
        """How many modules this stands for."""
        return len(self.indices) or 1

    @property
    def suffix(self) -> str:
        """The name by which people choose it: of the parameter, or of the module."""
        return self.parameter.name if self.parameter else self.group.suffix

    def names(self) -> Iterator[str]:
        """Full name of every adapted module or parameter."""
        tail = f".{self.parameter.name}" if self.parameter else ""
        return (self.group.name(index) + tail for index in self.indices or (None,))


def adapted_modules(shapes: ModelShapes, method: LoRA, task_type: str | None = None) -> list[Adapted]:
    """Every module and parameter that gets an adapter, in the model's order.

    Args:
        shapes: the model.
        method: LoRA or one of its kin.
        task_type: peft's `task_type`; with "SEQ_CLS" `all-linear` leaves the classification head out.

    Raises:
        ValueError: nothing matches (with the names that exist and the nearest), or peft refuses what matches.
    """
    method = stacked_targets(shapes, method)
    found = list(_modules(shapes, method, _head(shapes, task_type)))
    found += _parameters(shapes, method, found)
    if not found:
        raise _nothing(shapes, method)
    return found


def _modules(shapes: ModelShapes, method: LoRA, head: str | None) -> Iterator[Adapted]:
    """The whole modules that `targets` name."""
    if not method.targets:
        return
    every = method.targets == ALL_LINEAR
    for group in shapes.groups if every else (*shapes.groups, *shapes.bare):
        if not group.template or (every and (group.kind not in LINEAR_KINDS or group.template == head)):
            continue
        indices = _matching(group, method)
        if indices is not None:
            _refuse_module(shapes, group, indices)
            yield from _by_rank(Adapted(group, indices, method.rank), method)


def _matching(group: ModuleGroup, method: LoRA) -> tuple[int, ...] | None:
    """The layers in which the group's module is a target; None when there is none."""
    if not group.indices or _layers_are_alike(method):
        first = group.name(group.indices[0] if group.indices else None)
        return group.indices if is_target(first, method) else None
    return tuple(index for index in group.indices if is_target(group.name(index), method)) or None


def _layers_are_alike(method: LoRA) -> bool:
    """True when no name in the method can tell one layer from another."""
    lists = (method.targets if method.targets != ALL_LINEAR else (), method.exclude, method.modules_to_save)
    return not method.layers_to_transform and all(
        not isinstance(names, str) and all(_PLAIN.fullmatch(name) for name in names) for names in lists
    )


def _by_rank(adapted: Adapted, method: LoRA) -> Iterator[Adapted]:
    """One entry per rank that `rank_pattern` gives."""
    if not method.rank_pattern:
        yield adapted
        return
    if all(_PLAIN.fullmatch(pattern.removeprefix(_ANYWHERE)) for pattern in method.rank_pattern):
        rank = pattern_value(method.rank_pattern, next(adapted.names()), method.rank)  # no pattern tells layers apart
        yield replace(adapted, rank=rank)
        return
    ranks: dict[int, list[int]] = {}
    for index, name in zip(adapted.indices or (None,), adapted.names(), strict=True):
        indices = ranks.setdefault(pattern_value(method.rank_pattern, name, method.rank), [])
        indices.extend([] if index is None else [index])
    for rank, indices in ranks.items():
        yield replace(adapted, indices=tuple(indices), rank=rank)


def _parameters(shapes: ModelShapes, method: LoRA, modules: Iterable[Adapted]) -> Iterator[Adapted]:
    """The parameters that `target_parameters` name: equal to a name, or ending with it after a dot."""
    if not method.target_parameters:
        return
    taken = {name for entry in modules for name in entry.names()}
    for group in shapes.groups:
        for tensor in group.tensors:
            indices = _with_parameter(group, tensor, method.target_parameters)
            if indices is None:
                continue
            twice = next((name for name in map(group.name, indices or (None,)) if name in taken), None)
            if twice:
                raise ValueError(
                    f"{twice} is named by targets and its parameter {tensor.name} by target_parameters; "
                    "peft adapts one or the other"
                )
            _refuse_mamba(shapes, group, group.name(indices[0] if indices else None))
            yield from _by_rank(Adapted(group, indices, method.rank, tensor), method)


def _with_parameter(group: ModuleGroup, tensor: Tensor, targets: Iterable[str]) -> tuple[int, ...] | None:
    def named(index: int | None) -> bool:
        return names_parameter(f"{group.name(index)}.{tensor.name}", targets)

    if not group.indices:
        return () if group.template and named(None) else None
    if all(_PLAIN.fullmatch(target) for target in targets):
        return group.indices if named(group.indices[0]) else None
    return tuple(filter(named, group.indices)) or None


def _head(shapes: ModelShapes, task_type: str | None) -> str | None:
    """The module that `all-linear` leaves out: the one that makes the logits, or else the head of a classifier."""
    if not shapes.pretrained or shapes.output_embedding:
        return shapes.output_embedding
    heads = shapes.classification_head
    return heads[0] if task_type == "SEQ_CLS" and heads else None


def _refuse_module(shapes: ModelShapes, group: ModuleGroup, indices: tuple[int, ...]) -> None:
    """peft adapts only some kinds of modules."""
    name = first_name(group.template, indices)
    _refuse_mamba(shapes, group, name)
    if group.kind in ("norm", "other", "experts"):
        hint = "; name its parameters in target_parameters" if group.kind == "experts" else ""
        raise ValueError(
            f"targets name {name}, a {group.type}, which peft cannot adapt; "
            f"it adapts linear layers, embeddings, convolutions and attention{hint}"
        )


def _refuse_mamba(shapes: ModelShapes, group: ModuleGroup, name: str) -> None:
    if shapes.config.get("model_type") in _MAMBA_TYPES and group.suffix in _MAMBA_REFUSED:
        raise ValueError(
            f"peft refuses {name}: out_proj and conv1d of Mamba blocks cannot be adapted; name other targets"
        )


def _nothing(shapes: ModelShapes, method: LoRA) -> ValueError:
    """Why nothing is left to adapt."""
    names = [group.template.replace("{}", "0") for group in shapes.groups if group.kind in (*LINEAR_KINDS, "embedding")]
    if method.target_parameters and not method.targets:
        stacked = [f"{group.suffix}.{t.name}" for group in shapes.groups for t in group.tensors if len(t.shape) > 1]
        wanted = ", ".join(map(repr, method.target_parameters))
        return ValueError(
            f"target_parameters {wanted} match no parameter; this model has {', '.join(dict.fromkeys(stacked))}"
        )
    every = [group.name(group.indices[0] if group.indices else None) for group in shapes.groups]
    bare = replace(method, exclude=(), modules_to_save=(), layers_to_transform=None, layers_pattern=None)
    if method.targets == ALL_LINEAR or any(is_target(name, bare) for name in every):
        if any(is_excluded(name, method) for name in every):
            return ValueError("every module that targets name is taken out again by exclude or modules_to_save")
        if method.layers_to_transform:
            return ValueError(f"no layer that targets name is among layers_to_transform {method.layers_to_transform}")
        return ValueError("all-linear matches no module: this model has no linear layer besides its head")
    return no_match_error(method.targets, names)


def saved_roots(shapes: ModelShapes, names: Iterable[str]) -> list[str]:
    """Names of the modules that `modules_to_save` copies, but for those inside another: they are part of its copy.

    Raises:
        ValueError: one of them is a list of modules.
    """
    roots: list[str] = []
    for name in saved_modules(shapes, names):
        if not any(name.startswith(f"{root}.") for root in roots):
            refuse_list(shapes, name)
            roots.append(name)
    return roots


def saved_modules(shapes: ModelShapes, names: Iterable[str]) -> list[str]:
    """Every module whose full name ends with one of `names`, the outer ones first."""
    wanted = tuple(names)
    if not wanted:
        return []
    full = {name for group in (*shapes.groups, *shapes.bare) for name in group.names if name}
    return sorted((name for name in full if name.endswith(wanted)), key=lambda name: (name.count("."), name))


def refuse_list(shapes: ModelShapes, name: str) -> None:
    """peft copies a module, not a list of them."""
    if any(group.type in _CONTAINERS and name in group.names for group in shapes.bare):
        raise ValueError(f"modules_to_save names {name}, a list of modules; peft copies only single modules")

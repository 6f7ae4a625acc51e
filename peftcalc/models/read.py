"""The shapes of every weight of an `nn.Module`, with the module that holds it. Weights on the meta device will do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from peftcalc.models.shapes import ModelShapes, ModuleGroup, Tensor
from peftcalc.targets.experts import expert_family

HEAD_NAMES = ("score", "classifier")
"""Top-level names under which peft looks for the head of a classification model."""


def read_module(module: nn.Module, name: str | None = None, config: dict[str, Any] | None = None) -> ModelShapes:
    """The record of any module.

    Tied parameters are owned by the first module that holds them, in the order of `named_modules`; a module that
    appears under two names is one module.

    Args:
        module: any `nn.Module`; of the transformers library or not.
        name: the name by which the model is shown; default the name of its class.
        config: the raw configuration; default what the module's own `config` says.

    >>> read_module(nn.Sequential(nn.Linear(3, 4), nn.ReLU())).total
    16
    """
    names = {id(part): full for full, part in module.named_modules()}
    groups, bare = _grouped(module)
    pretrained = _is_pretrained(module)
    return ModelShapes(
        name or type(module).__name__,
        type(module).__name__,
        _own_config(module) if config is None else config,
        groups,
        names.get(id(_embedding(module, "get_input_embeddings"))) if pretrained else None,
        names.get(id(_embedding(module, "get_output_embeddings"))) if pretrained else None,
        tuple(name for name in HEAD_NAMES if isinstance(getattr(module, name, None), nn.Module)),
        pretrained,
        bare,
        expert_family(module) if pretrained else None,
        whole=True,
    )


def _own_config(module: nn.Module) -> dict[str, Any]:
    """The configuration that a transformers model carries; empty for any other module."""
    own: Any = getattr(module, "config", None)
    return own.to_dict() if hasattr(own, "to_dict") else {}


def _grouped(module: nn.Module) -> tuple[tuple[ModuleGroup, ...], tuple[ModuleGroup, ...]]:
    """Equal modules of different layers gathered: those that own parameters, and those that own none."""
    from transformers.pytorch_utils import Conv1D

    owners: dict[int, str] = {}
    found: dict[tuple[Any, ...], list[int]] = {}
    for name, part in module.named_modules():
        tensors = tuple(_tensors(name, part, owners))
        if not name and not tensors:
            continue
        template, index = _template(name)
        kind = _kind(part, tensors, Conv1D)
        key = (template, kind, type(part).__name__, tensors, *_geometry(part, kind))
        found.setdefault(key, []).extend([] if index is None else [index])
    groups = [
        ModuleGroup(template, kind, type_name, tensors, tuple(indices), *geometry)
        for (template, kind, type_name, tensors, *geometry), indices in found.items()
    ]
    return tuple(g for g in groups if g.tensors), tuple(g for g in groups if not g.tensors)


def _tensors(name: str, part: nn.Module, owners: dict[int, str]) -> Iterator[Tensor]:
    """The parameters that `part` owns directly; `owners` remembers who held each storage first."""
    for own, parameter in part._parameters.items():
        if parameter is None:
            continue
        full = f"{name}.{own}" if name else own
        owner = owners.setdefault(id(parameter), full)
        yield Tensor(own, tuple(parameter.shape), None if owner == full else owner, not parameter.requires_grad)


def _template(name: str) -> tuple[str, int | None]:
    """The name with its first numbered segment taken out, and that number."""
    segments = name.split(".")
    for position, segment in enumerate(segments):
        if segment.isdecimal() and str(int(segment)) == segment:
            return ".".join([*segments[:position], "{}", *segments[position + 1 :]]), int(segment)
    return name, None


def _kind(part: nn.Module, tensors: tuple[Tensor, ...], conv1d: type[nn.Module]) -> str:
    """One of `KINDS`, decided by the class as peft decides it."""
    for kind, classes in (
        ("linear", nn.Linear),
        ("conv1d", conv1d),
        ("embedding", nn.Embedding),
        ("conv2d", nn.Conv2d),
        ("conv3d", nn.Conv3d),
        ("conv1d_nn", nn.Conv1d),
        ("attention", nn.MultiheadAttention),
    ):
        if isinstance(part, classes):
            return kind
    if "norm" in type(part).__name__.lower() and all(len(tensor.shape) <= 1 for tensor in tensors):
        return "norm"
    return "experts" if "expert" in type(part).__name__.lower() and _has_stack(tensors) else "other"


def _has_stack(tensors: tuple[Tensor, ...]) -> bool:
    return any(len(tensor.shape) == 3 for tensor in tensors)


def _geometry(part: Any, kind: str) -> tuple[int, int, tuple[int, ...], int]:
    """Input width, output width, kernel and groups: of the weight itself, since a config may make widths by arithmetic
    of torch, and what a module then keeps as its width is a tensor without a value (`inkling_mm_model`)."""
    if kind == "linear":
        return part.weight.shape[1], part.weight.shape[0], (), 1
    if kind == "conv1d":
        return part.weight.shape[0], part.weight.shape[1], (), 1
    if kind == "embedding":
        return part.weight.shape[0], part.weight.shape[1], (), 1
    if kind in ("conv1d_nn", "conv2d", "conv3d"):
        out_channels, in_a_group, *kernel = part.weight.shape
        return in_a_group * part.groups, out_channels, tuple(kernel), part.groups
    if kind == "attention":
        width = part.out_proj.weight.shape[0]
        return width, 3 * width, (), 1
    return 0, 0, (), 1


def _is_pretrained(module: nn.Module) -> bool:
    from transformers import PreTrainedModel

    return isinstance(module, PreTrainedModel)


def _embedding(module: Any, getter: str) -> Any:
    """What the model's own getter says; many vision and speech models have none and raise, each in its own way."""
    try:
        return getattr(module, getter)()
    except Exception:  # theirs, hundreds of them: poolformer without a block looks for its first
        return None

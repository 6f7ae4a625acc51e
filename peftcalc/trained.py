"""The arithmetic of counting: parameters of every adapter, of trained biases and of saved copies.

Symbols: r rank, in and out the widths of the layer, k the kernel, E the number of experts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from peftcalc.adapted import Adapted, adapted_modules, saved_roots
from peftcalc.count import Count, Part
from peftcalc.methods import LoRA, Method
from peftcalc.models.shapes import CONVOLUTION_KINDS, ModelShapes, ModuleGroup

_HEADS = {
    "SEQ_CLS": ("classifier", "score"),
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
}
"""What peft adds to `modules_to_save` for a task."""


def count_full(shapes: ModelShapes, method: Method) -> Count:
    """Every parameter is trained, except those which the architecture itself keeps fixed."""
    parts = tuple(
        _part(group, "full", sum(t.parameters for t in group.tensors if not t.frozen), group.indices)
        for group in shapes.groups
        if group.parameters_each
    )
    trainable = sum(part.trainable for part in parts)
    fixed = shapes.total - trainable
    notes = (f"{fixed:,} parameters are fixed by the architecture and never trained",) if fixed else ()
    return Count(shapes.id, method, shapes.total, trainable, shapes.total, shapes.total, parts, notes)


def count_adapter(shapes: ModelShapes, method: LoRA, task_type: str | None = None) -> Count:
    """Adapters, magnitudes, trained biases and saved copies."""
    _refuse_combination(method)
    heads = _HEADS.get(task_type or "", ())
    saving = replace(method, modules_to_save=(*method.modules_to_save, *heads)) if heads else method
    # peft tells the matcher about the head of a sequence classifier beforehand, about the other heads too late
    adapted = adapted_modules(shapes, saving if task_type == "SEQ_CLS" else method, task_type)
    roots = saved_roots(shapes, saving.modules_to_save)
    adapters = tuple(_adapter_part(entry, method) for entry in adapted)
    copies = tuple(_copy_parts(shapes, roots))
    biases = tuple(_bias_parts(shapes, method, adapted, roots))
    added = sum(part.trainable for part in (*adapters, *copies))
    trainable = added + sum(part.trainable for part in biases)
    return Count(
        shapes.id,
        method,
        shapes.total,
        trainable,
        shapes.total + added + _copied_adapters(adapted, adapters, roots),
        trainable,
        (*adapters, *copies, *biases),
        tuple(_notes(shapes, method, adapted, roots)),
    )


def _refuse_combination(method: LoRA) -> None:
    """Options that `peft.LoraConfig` does not take together."""
    if method.decomposed and method.lora_bias:
        raise ValueError("peft refuses lora_bias together with DoRA; leave one of them out")
    if method.layers_to_transform is not None and isinstance(method.targets, str):
        raise ValueError("peft refuses layers_to_transform together with all-linear; give targets as names")
    if method.layers_pattern and method.layers_to_transform is None:
        raise ValueError("peft refuses layers_pattern without layers_to_transform; name the layers too")


def adapter_parameters(entry: Adapted, method: LoRA) -> tuple[int, int]:
    """Parameters of one module's adapter, and how many of them are magnitudes.

    Linear: `r · (in + out)`, with a LoRA bias `+ out`. Embedding: the same with rows and dimension. Convolution:
    `r · (in · kᵈ + out / groups)`, since A has the base's kernel and B a kernel of 1. Expert stack `(E, a, b)`:
    `E · r · (a + b)`. Torch's attention: its fused input projection and its output projection. DoRA adds `out`.

    Raises:
        ValueError: what peft refuses.

    >>> from peftcalc.models.shapes import ModuleGroup, Tensor
    >>> layer = ModuleGroup("q", "linear", "Linear", (Tensor("weight", (8, 4)),), (), 4, 8)
    >>> from peftcalc.methods import DoRA
    >>> adapter_parameters(Adapted(layer, (), 2), DoRA(rank=2))
    (32, 8)
    """
    group, rank = entry.group, entry.rank
    wide, narrow = group.in_features, group.out_features
    if entry.parameter is not None:
        return _parameter_adapter(entry, method), 0
    if group.kind == "attention":
        return _attention_adapter(entry, method), 0
    if group.kind == "embedding" and method.lora_bias:
        raise ValueError(f"peft refuses lora_bias on {group.template}: an embedding has no bias")
    if group.kind in CONVOLUTION_KINDS:
        if rank % group.convolution_groups:
            raise ValueError(
                f"peft refuses rank {rank} on {group.template}: it must be divisible by the convolution's "
                f"{group.convolution_groups} groups"
            )
        weights = rank * wide * math.prod(group.kernel) + rank // group.convolution_groups * narrow
    else:
        weights = rank * (wide + narrow)
    magnitude = narrow if method.decomposed else 0
    return weights + magnitude + (narrow if method.lora_bias else 0), magnitude


def _parameter_adapter(entry: Adapted, method: LoRA) -> int:
    """A and B of a 2-D or 3-D parameter; every expert of a stack has its own rank-r pair."""
    parameter = entry.parameter
    assert parameter is not None
    name = f"{entry.group.template}.{parameter.name}"
    for refused, what in ((method.decomposed, "DoRA"), (method.dropout, "dropout"), (method.lora_bias, "lora_bias")):
        if refused:
            raise ValueError(
                f"peft refuses {what} on {name}, which it adapts as a bare parameter "
                "(expert stacks and routers); choose targets without experts"
            )
    if len(parameter.shape) not in (2, 3):
        raise ValueError(f"peft adapts parameters of 2 or 3 dimensions; {name} has shape {parameter.shape}")
    experts = parameter.shape[0] if len(parameter.shape) == 3 else 1
    return experts * entry.rank * sum(parameter.shape[-2:])


def _attention_adapter(entry: Adapted, method: LoRA) -> int:
    """Both projections of `nn.MultiheadAttention`: in (d → 3d) and out (d → d)."""
    group, rank = entry.group, entry.rank
    if group.tensor("in_proj_weight") is None:
        raise ValueError(f"peft adapts {group.template} only when query, key and value have the same width")
    if method.decomposed:
        raise ValueError(f"peft refuses DoRA on {group.template}, torch's MultiheadAttention; choose other targets")
    width = group.in_features
    return rank * (width + 3 * width) + rank * (width + width) + (4 * width if method.lora_bias else 0)


def _adapter_part(entry: Adapted, method: LoRA) -> Part:
    each, magnitude = adapter_parameters(entry, method)
    part = _part(entry.group, "adapter", each, entry.indices, entry.rank, magnitude)
    if entry.parameter is None:
        return part
    shape = entry.parameter.shape
    return replace(
        part,
        module=f"{entry.group.template}.{entry.parameter.name}",
        suffix=entry.suffix,
        in_features=shape[-1],
        out_features=shape[-2],
        base=entry.parameter.parameters,
    )


def _copy_parts(shapes: ModelShapes, roots: Iterable[str]) -> Iterator[Part]:
    """The trained copies of saved modules; weights tied to elsewhere are copied too."""
    for root in roots:
        seen: set[str] = set()
        for name, group in shapes.modules():
            if name != root and not name.startswith(f"{root}."):
                continue
            each = 0
            for tensor in group.tensors:
                owner = tensor.tied_to or f"{name}.{tensor.name}"
                each += 0 if owner in seen else tensor.numel
                seen.add(owner)
            if each:
                yield replace(_part(group, "copy", each, ()), module=name)


def _copied_adapters(adapted: list[Adapted], parts: Iterable[Part], roots: list[str]) -> int:
    """Frozen parameters of adapters that lie inside a saved module: its copy trains, the original's stay behind.

    Raises:
        ValueError: a saved module is itself adapted, which peft refuses.
    """
    if not roots:
        return 0
    frozen = 0
    for entry, part in zip(adapted, parts, strict=True):
        for name in entry.names():
            if name in roots:
                raise ValueError(
                    f"{name} is adapted and in modules_to_save (peft adds a task's head there); name it once"
                )
            frozen += part.each * any(name.startswith(f"{root}.") for root in roots)
    return frozen


def _bias_parts(shapes: ModelShapes, method: LoRA, adapted: list[Adapted], roots: list[str]) -> Iterator[Part]:
    """Biases of the base that are trained: all, or those of adapted modules; not those of saved modules."""
    if method.bias == "none":
        return
    chosen: dict[str, ModuleGroup] = {}
    if method.bias == "all":
        chosen = {name: group for name, group in shapes.modules() if group.bias}
    else:
        for entry in adapted:
            if entry.group.bias and entry.group.kind != "attention":
                chosen |= {entry.group.name(index): entry.group for index in entry.indices or (None,)}
    trained: set[str] = set()
    for name, group in chosen.items():
        if any(name == root or name.startswith(f"{root}.") for root in roots):
            continue
        bias = group.bias
        assert bias is not None
        owner = bias.tied_to or f"{name}.bias"
        if owner not in trained:
            trained.add(owner)
            yield replace(_part(group, "bias", bias.numel, ()), module=name)


def _part(group: ModuleGroup, how: str, each: int, indices: tuple[int, ...], rank: int = 0, magnitude: int = 0) -> Part:
    return Part(
        group.template,
        group.kind,
        group.suffix,
        how,
        rank,
        each,
        magnitude,
        indices,
        group.in_features,
        group.out_features,
        group.parameters_each,
    )


def _notes(shapes: ModelShapes, method: LoRA, adapted: list[Adapted], roots: list[str]) -> Iterator[str]:
    """What a person should know about this count."""
    wasteful = {}
    for entry in adapted:
        smaller = (
            min(entry.parameter.shape[-2:])
            if entry.parameter
            else min(entry.group.in_features, entry.group.out_features)
        )
        if entry.rank > smaller:
            wasteful[entry.suffix] = smaller
    if wasteful:
        sides = ", ".join(f"{name} ({side:,})" for name, side in wasteful.items())
        yield f"rank {method.rank:,} is wasteful: above the smaller side of {sides}, which no update's rank can exceed"
    if shapes.expert_names and any(entry.parameter for entry in adapted):
        yield "expert projections are stacked parameters in this model; peft adapts them by target_parameters"
    tied = {tensor.tied_to for group in shapes.groups for tensor in group.tensors if tensor.tied_to}
    tables = (entry for entry in adapted if entry.group.kind == "embedding")
    touched = {f"{name}.weight" for entry in tables for name in entry.names()}
    touched |= {f"{root}.weight" for root in roots}
    if tied & touched:
        yield "the input and output embeddings are tied in this model; training a copy or an adapter of one unties them"

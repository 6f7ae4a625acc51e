"""The size of one module's adapter, by the kind of the module.

Symbols: r rank, in and out the widths of the layer, k the kernel, E the number of experts.
"""

from __future__ import annotations

import math
from dataclasses import replace

from peftcalc.counting.adapted_modules import Adapted
from peftcalc.counting.counts import Part, part_of
from peftcalc.methods import LoRA
from peftcalc.methods.starts import changes_base, start_rank
from peftcalc.models.parts import first_name
from peftcalc.models.shapes import CONVOLUTION_KINDS

_ROWS_IN = ("AriaExperts", "GptOssExperts", "OpenAIPrivacyFilterExperts")
"""Classes of transformers 5 whose expert stacks are declared `is_transposed`, which peft asks for."""


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
        raise ValueError(f"peft refuses lora_bias on {_named(entry)}: an embedding has no bias")
    if group.kind in CONVOLUTION_KINDS:
        if rank % group.convolution_groups:
            raise ValueError(
                f"peft refuses rank {rank} on {_named(entry)}: it must be divisible by the convolution's "
                f"{group.convolution_groups} groups"
            )
        weights = rank * wide * math.prod(group.kernel) + rank // group.convolution_groups * narrow
    else:
        weights = rank * (wide + narrow)
    magnitude = narrow if method.decomposed else 0
    return weights + magnitude + (narrow if method.lora_bias else 0), magnitude


def frozen_parameters(entry: Adapted, method: LoRA) -> int:
    """How many of `adapter_parameters` are not trained: A, where it is frozen.

    Linear and each of attention's two projections: `r · in`; convolution: `r · in · kᵈ`; expert stack: `E · r · in`. An
    embedding's A is trained, as peft's `create_lorafa_optimizer` leaves it.

    >>> from peftcalc.models.shapes import ModuleGroup, Tensor
    >>> layer = ModuleGroup("q", "linear", "Linear", (Tensor("weight", (8, 4)),), (), 4, 8)
    >>> frozen_parameters(Adapted(layer, (), 2), LoRA(rank=2, freeze_a=True))
    8
    """
    group, rank = entry.group, entry.rank
    if not method.freeze_a or (group.kind == "embedding" and entry.parameter is None):
        return 0
    if entry.parameter is not None:
        return _parameter_factor_a(entry)
    if group.kind == "attention":
        return 2 * rank * group.in_features
    return rank * group.in_features * (math.prod(group.kernel) if group.kind in CONVOLUTION_KINDS else 1)


def _parameter_adapter(entry: Adapted, method: LoRA) -> int:
    """A and B of a 2-D or 3-D parameter; every expert of a stack has its own rank-r pair."""
    parameter = entry.parameter
    assert parameter is not None
    name = f"{_named(entry)}.{parameter.name}"
    for refused, what in ((method.decomposed, "DoRA"), (method.dropout, "dropout"), (method.lora_bias, "lora_bias")):
        if refused:
            raise ValueError(
                f"peft refuses {what} on {name}, which it adapts as a bare parameter "
                "(expert stacks and routers); choose targets without experts"
            )
    if entry.group.kind == "conv1d":
        raise ValueError(f"peft refuses {name}: a Conv1D keeps its weight transposed; name the module in targets")
    if len(parameter.shape) not in (2, 3):
        raise ValueError(f"peft adapts parameters of 2 or 3 dimensions; {name} has shape {parameter.shape}")
    experts = parameter.shape[0] if len(parameter.shape) == 3 else 1
    return experts * entry.rank * sum(parameter.shape[-2:])


def _parameter_factor_a(entry: Adapted) -> int:
    """A reads the rows of a stack `(E, out, in)`, as of a matrix; the classes of `_ROWS_IN` store `(E, in, out)`."""
    parameter = entry.parameter
    assert parameter is not None
    *experts, rows, columns = parameter.shape
    transposed = bool(experts) and entry.group.type in _ROWS_IN
    return math.prod(experts) * entry.rank * (rows if transposed else columns)


def _rank(entry: Adapted, method: LoRA) -> int:
    """A start that reads the weight needs one, as a matrix; peft trips over anything else. See `start_rank`."""
    if not changes_base(method.init):
        return entry.rank
    group, parameter, name = entry.group, entry.parameter, _named(entry)
    if parameter is not None and (parameter.name != "weight" or len(parameter.shape) != 2):
        raise ValueError(f"peft has no init={method.init!r} for {name}.{parameter.name}, a bare parameter")
    if group.kind == "attention" or group.kind in CONVOLUTION_KINDS:
        raise ValueError(f"peft has no init={method.init!r} for {name}, a {group.type}; leave it out")
    if group.kind == "embedding" and parameter is None:
        return entry.rank
    sides = parameter.shape if parameter else (group.out_features, group.in_features)
    return start_rank(method.init, entry.rank, (sides[0], sides[1]))


def _attention_adapter(entry: Adapted, method: LoRA) -> int:
    """Both projections of `nn.MultiheadAttention`: in (d → 3d) and out (d → d)."""
    group, rank, name = entry.group, entry.rank, _named(entry)
    if group.tensor("in_proj_weight") is None:
        raise ValueError(f"peft adapts {name} only when query, key and value have the same width")
    if method.decomposed:
        raise ValueError(f"peft refuses DoRA on {name}, torch's MultiheadAttention; choose other targets")
    width = group.in_features
    return rank * (width + 3 * width) + rank * (width + width) + (4 * width if method.lora_bias else 0)


def adapter_part(entry: Adapted, method: LoRA) -> Part:
    rank = _rank(entry, method)
    entry = entry if rank == entry.rank else replace(entry, rank=rank)
    each, magnitude = adapter_parameters(entry, method)
    frozen = frozen_parameters(entry, method)
    part = part_of(entry.group, "adapter", each - frozen, entry.indices, entry.rank, magnitude)
    part = replace(part, frozen=frozen) if frozen else part
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


def _named(entry: Adapted) -> str:
    """The first of the modules, for a sentence."""
    return first_name(entry.group.template, entry.indices)

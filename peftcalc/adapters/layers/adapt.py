"""Which adapter fits which layer: two adapters × two bases for linear layers, and their cousins for the other kinds."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from peftcalc.adapters.layers.attention import LoRAAttention
from peftcalc.adapters.layers.base import AdaptedLayer
from peftcalc.adapters.layers.convolution import DoRAConvolution, LoRAConvolution
from peftcalc.adapters.layers.dora import DoRALinear
from peftcalc.adapters.layers.embedding import DoRAEmbedding, LoRAEmbedding
from peftcalc.adapters.layers.experts import AdaptedParameter
from peftcalc.adapters.layers.lora import LoRALinear
from peftcalc.methods import LoRA
from peftcalc.targets import pattern_value


def adapter_rank(method: LoRA, name: str) -> int:
    """r of the module called `name`."""
    return pattern_value(method.rank_pattern, name, method.rank)


def scale_of(method: LoRA, name: str) -> float:
    """s of the module called `name`."""
    return replace(
        method, rank=adapter_rank(method, name), alpha=pattern_value(method.alpha_pattern, name, method.alpha)
    ).scaling


def adapt(layer: nn.Module, method: LoRA, name: str = "") -> AdaptedLayer:
    """The adapted layer over `layer`, with the rank and alpha that the method gives to a module of this name.

    >>> type(adapt(nn.Linear(4, 4), LoRA(rank=2))).__name__
    'LoRALinear'
    """
    options = {
        "rank": adapter_rank(method, name),
        "alpha": pattern_value(method.alpha_pattern, name, method.alpha),
        "dropout": method.dropout,
        "rslora": method.rslora,
    }
    if not method.decomposed:
        options["lora_bias"] = method.lora_bias
    if isinstance(layer, nn.Embedding):
        options.pop("lora_bias", None)
        return DoRAEmbedding(layer, **options) if method.decomposed else LoRAEmbedding(layer, **options)
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return DoRAConvolution(layer, **options) if method.decomposed else LoRAConvolution(layer, **options)
    if isinstance(layer, nn.MultiheadAttention):
        return LoRAAttention(layer, **options)
    return DoRALinear(layer, **options) if method.decomposed else LoRALinear(layer, **options)


def adapt_parameter(owner: nn.Module, method: LoRA, name: str, parameter: str) -> AdaptedParameter:
    """The module called `name` with an adapter of its parameter called `parameter`; patterns match the two together.

    >>> adapt_parameter(nn.Linear(4, 4), LoRA(rank=2, rank_pattern={"fc.weight": 3}), "fc", "weight").rank
    3
    """
    full = f"{name}.{parameter}"
    alpha = pattern_value(method.alpha_pattern, full, method.alpha)
    return AdaptedParameter(owner, parameter, adapter_rank(method, full), alpha, method.rslora)

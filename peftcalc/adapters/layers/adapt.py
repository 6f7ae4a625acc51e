"""Which adapter fits which layer: two adapters × two bases for linear layers, and their cousins for the other kinds."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from peftcalc.adapters.layers.attention import LoRAAttention
from peftcalc.adapters.layers.base import AdaptedLayer, Options
from peftcalc.adapters.layers.convolution import DoRAConvolution, LoRAConvolution
from peftcalc.adapters.layers.dora import DoRALinear
from peftcalc.adapters.layers.embedding import DoRAEmbedding, LoRAEmbedding
from peftcalc.adapters.layers.experts import AdaptedParameter
from peftcalc.adapters.layers.frozen_weight import features, is_linear, is_quantized
from peftcalc.adapters.layers.lora import LoRALinear
from peftcalc.methods import LoRA
from peftcalc.methods.starts import start_rank
from peftcalc.targets import pattern_value


def adapter_rank(method: LoRA, name: str, part: nn.Module | nn.Parameter | None = None) -> int:
    """r of the module, or the single parameter, called `name`; of that `part`, the rank with which the start leaves
    it."""
    rank = pattern_value(method.rank_pattern, name, method.rank)
    if isinstance(part, nn.Module) and (is_linear(part) or is_quantized(part)):
        return start_rank(method.init, rank, features(part))
    if isinstance(part, nn.Parameter) and part.dim() == 2:
        return start_rank(method.init, rank, (part.shape[0], part.shape[1]))
    return rank


def scale_of(method: LoRA, name: str) -> float:
    """s of the module called `name`."""
    return replace(
        method, rank=adapter_rank(method, name), alpha=pattern_value(method.alpha_pattern, name, method.alpha)
    ).scaling


def options_of(method: LoRA, name: str) -> Options:
    """What the method says of a layer or a parameter called `name`."""
    return {
        "rank": adapter_rank(method, name),
        "alpha": pattern_value(method.alpha_pattern, name, method.alpha),
        "dropout": method.dropout,
        "rslora": method.rslora,
        "lora_bias": method.lora_bias,
        "init": method.init,
        "freeze_a": method.freeze_a,
    }


def adapt(layer: nn.Module, method: LoRA, name: str = "", floats: nn.Module | None = None) -> AdaptedLayer:
    """The adapted layer over `layer`, with the rank and alpha that the method gives to a module of this name.

    `floats` is what a layer in 4 bits was made of, while that is still known.

    >>> type(adapt(nn.Linear(4, 4), LoRA(rank=2))).__name__
    'LoRALinear'
    """
    options = options_of(method, name) | Options(floats=floats)
    if isinstance(layer, nn.Embedding):
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
    return AdaptedParameter(owner, parameter, **options_of(method, f"{name}.{parameter}"))

"""Which adapter fits which layer: two adapters × two bases for linear layers, and their cousins for the other kinds."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from peftcalc.adapters.layers.base import AdaptedLayer, Options
from peftcalc.adapters.layers.convolution import DoRAConv2d, LoRAConv2d
from peftcalc.adapters.layers.dora import DoRALinear
from peftcalc.adapters.layers.embedding import DoRAEmbedding, LoRAEmbedding
from peftcalc.adapters.layers.frozen_weight import features, is_linear
from peftcalc.adapters.layers.lora import LoRALinear
from peftcalc.methods import LoRA
from peftcalc.methods.starts import start_rank
from peftcalc.targets import pattern_value


def adapter_rank(method: LoRA, name: str, layer: nn.Module | None = None) -> int:
    """r of the module called `name`; of its `layer`, the rank with which the start leaves it."""
    rank = pattern_value(method.rank_pattern, name, method.rank)
    return rank if layer is None or not is_linear(layer) else start_rank(method.init, rank, features(layer))


def scale_of(method: LoRA, name: str) -> float:
    """s of the module called `name`."""
    return replace(
        method, rank=adapter_rank(method, name), alpha=pattern_value(method.alpha_pattern, name, method.alpha)
    ).scaling


def adapt(layer: nn.Module, method: LoRA, name: str = "", floats: nn.Module | None = None) -> AdaptedLayer:
    """The adapted layer over `layer`, with the rank and alpha that the method gives to a module of this name.

    `floats` is what a layer in 4 bits was made of, while that is still known.

    >>> type(adapt(nn.Linear(4, 4), LoRA(rank=2))).__name__
    'LoRALinear'
    """
    options: Options = {
        "rank": adapter_rank(method, name),
        "alpha": pattern_value(method.alpha_pattern, name, method.alpha),
        "dropout": method.dropout,
        "rslora": method.rslora,
        "lora_bias": method.lora_bias,
        "init": method.init,
        "freeze_a": method.freeze_a,
        "floats": floats,
    }
    if isinstance(layer, nn.Embedding):
        return DoRAEmbedding(layer, **options) if method.decomposed else LoRAEmbedding(layer, **options)
    if isinstance(layer, nn.Conv2d):
        return DoRAConv2d(layer, **options) if method.decomposed else LoRAConv2d(layer, **options)
    return DoRALinear(layer, **options) if method.decomposed else LoRALinear(layer, **options)

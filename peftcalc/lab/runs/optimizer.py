"""The optimizer of a run: one AdamW, whose groups have rates of their own where a method says so (LoRA+)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from peftcalc.adapters.attach import adapted
from peftcalc.adapters.layers.embedding import LoRAEmbedding
from peftcalc.methods import LoRA, Method

EMBEDDING_RATE = 1e-6
"""Of the factors of an adapted embedding under LoRA+, whatever the others' rate: peft's `loraplus_lr_embedding`."""
FACTOR = "factor"
"""In a group of the optimizer: its rate over the run's."""


def optimizer_of(module: nn.Module, method: Method, rate: float, weight_decay: float = 0.0) -> torch.optim.AdamW:
    """AdamW for what a module trains, with the rates of `rate_groups`; each group knows its `FACTOR`."""
    groups = [{"params": parts, "lr": rate * f, FACTOR: f} for f, parts in rate_groups(module, method, rate).items()]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=weight_decay, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[FACTOR]


def rate_groups(module: nn.Module, method: Method, rate: float) -> dict[float, list[Any]]:
    """What is trained, by its rate over `rate`: 1, and with LoRA+ λ for B and for all vectors (a bias, DoRA's
    magnitude); see `EMBEDDING_RATE`. (LoRA+, section 5; the groups of peft's `create_loraplus_optimizer`.)

    >>> from peftcalc.adapters.attach import attach
    >>> module = attach(nn.Sequential(nn.Linear(3, 2)), LoRA(rank=1, lr_ratio=16))
    >>> {factor: [tuple(p.shape) for p in parts] for factor, parts in rate_groups(module, LoRA(lr_ratio=16), 1).items()}
    {1.0: [(1, 3)], 16: [(2, 1)]}
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not isinstance(method, LoRA) or method.lr_ratio == 1:
        return {1.0: trained}
    layers = [layer for _, layer in adapted(module)]
    fast = {id(layer.B) for layer in layers}
    embedded = {id(part) for layer in layers if isinstance(layer, LoRAEmbedding) for part in (layer.A, layer.B)}
    groups: dict[float, list[Any]] = {}
    for parameter in trained:
        factor = method.lr_ratio if id(parameter) in fast or parameter.ndim == 1 else 1.0
        factor = EMBEDDING_RATE / rate if id(parameter) in embedded else factor
        groups.setdefault(factor, []).append(parameter)
    return groups

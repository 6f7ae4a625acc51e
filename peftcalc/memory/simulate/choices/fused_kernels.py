"""Norms and gated activations as fused kernels hold memory: stand-ins that keep the same tensors and compute nothing.

They are Liger's (arXiv:2410.10989, section 3.1): RMSNorm keeps its input and one root a row, and its backward pass
writes over the gradient that it is given; the gated activation keeps gate and up-projection, and writes their gradients
over them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        roots = hidden.new_empty(hidden.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(hidden, weight, roots)
        return torch.empty_like(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        _, weight, _ = ctx.saved_tensors
        return gradients[0], torch.empty_like(weight) if ctx.needs_input_grad[1] else None


class _GatedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        return torch.empty_like(gate)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return ctx.saved_tensors  # written over


def fuse(model: nn.Module, kernels: str) -> None:
    """Give the model's norms and MLPs the memory of these kernels (`MemoryOptions.kernels`)."""
    if kernels not in ("fused", "liger", "unsloth"):
        return
    for module in model.modules():
        if _is_norm(module):
            module.forward = partial(_normed, module)
        elif kernels != "fused" and all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj")):
            module.forward = partial(_gated, module)


def _is_norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm") and isinstance(getattr(module, "weight", None), nn.Parameter)


def _normed(norm: Any, hidden_states: torch.Tensor) -> Any:
    function: Callable[..., Any] = _Norm.apply
    return function(hidden_states, norm.weight)


def _gated(mlp: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    function: Callable[..., Any] = _GatedProduct.apply
    return mlp.down_proj(function(mlp.gate_proj(hidden_states), mlp.up_proj(hidden_states)))

"""K linear layers in the place of one, for models of all methods, sorted into blocks that compute alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from peftcalc.adapters.layers.base import AdaptedLayer
from peftcalc.adapters.layers.frozen_weight import differentiable_once, matrix
from peftcalc.lab.stacked.updates import Decomposed, LowRank


class StackedLinear(nn.Module):
    """`y_k = x_k W_kᵀ + b_k`, and the updates of those models that are adapted, (K, rows, in) → (K, rows, out).

    Its backward pass writes the gradients of what is trained to where they are kept, and returns that of `x`.

    Args:
        layers: the layer of each model: a linear one, one in 4 bits, or an adapted one over either.
        blocks: places of models that compute alike; the first is that of the models trained in full, and may be empty.
    """

    full_weight: Tensor
    full_bias: Tensor
    grad_weight: Tensor
    grad_bias: Tensor

    def __init__(self, layers: Sequence[Any], blocks: Sequence[slice]) -> None:
        super().__init__()
        bases = [layer.base if isinstance(layer, AdaptedLayer) else layer for layer in layers]
        self.weight = torch.stack([matrix(base) for base in bases])  # (K, out, in)
        biases = [base.bias.detach() for base in bases if base.bias is not None]
        self.bias = torch.stack(biases).unsqueeze(1) if biases else None  # (K, 1, out)
        self.full = blocks[0].stop
        self.updates: list[LowRank] = []
        for block in blocks[1:]:
            if isinstance(layers[block.start], AdaptedLayer):
                kind = Decomposed if hasattr(layers[block.start], "magnitude") else LowRank
                self.updates.append(kind(block, layers[block]))
        self.listening = torch.zeros((), requires_grad=True)

    @property
    def full_shapes(self) -> list[tuple[int, ...]]:
        """Of what is trained in full."""
        _, out, into = self.weight.shape
        return [(out, into)] if self.bias is None else [(out, into), (out,)]

    def begin(self) -> None:
        """The numbers with which the models trained in full start."""
        self.full_weight.copy_(self.weight[: self.full])
        if self.bias is not None:
            self.full_bias.copy_(self.bias[: self.full, 0])

    def refresh(self) -> None:
        """Take the weights of the models trained in full from where they are trained."""
        if self.full:
            self.weight[: self.full].copy_(self.full_weight)
            if self.bias is not None:
                self.bias[: self.full, 0].copy_(self.full_bias)

    def forward(self, x: Tensor) -> Tensor:
        return _StackedProduct.apply(x, self.listening, self)

    def bias_of(self, models: slice) -> Tensor | None:
        return None if self.bias is None else self.bias[models]


class _StackedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, _, layer) -> Tensor:  # type: ignore[override]
        W, bias = layer.weight, layer.bias
        z = torch.bmm(x, W.mT) if bias is None else torch.baddbmm(bias, x, W.mT)
        for update in layer.updates:
            models = update.models
            update.forward(z[models], x[models], W[models], layer.bias_of(models))
        ctx.save_for_backward(x)
        ctx.layer = layer
        return z

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor):  # type: ignore[override]
        (x,), layer = ctx.saved_tensors, ctx.layer
        full = slice(0, layer.full)
        if layer.full:
            torch.bmm(grad[full].mT, x[full], out=layer.grad_weight)
            if layer.bias is not None:
                torch.sum(grad[full], dim=1, out=layer.grad_bias)
        if any(isinstance(update, Decomposed) for update in layer.updates):
            grad = grad.clone()
        inner = [
            update.backward(grad[update.models], x[update.models], layer.bias_of(update.models))
            for update in layer.updates
        ]
        if not ctx.needs_input_grad[0]:
            return None, None, None
        grad_x = torch.bmm(grad, layer.weight)
        for update, part in zip(layer.updates, inner, strict=True):
            grad_x[update.models].baddbmm_(part.mT, update.A)
        return grad_x, None, None

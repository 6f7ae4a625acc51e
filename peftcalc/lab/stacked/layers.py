"""K linear layers in the place of one: every method is the weight that it comes to, computed anew before a step.

Full fine-tuning's weight is trained itself; LoRA's is `W + s · B A`; DoRA's is that with its rows brought to the length
`m` (DoRA paper, eq. 5). The models of a stack are sorted in this order, so that each kind is a slice. A lower rank is
padded with zeros: a row of A and a column of B that are zero get a gradient of zero, and stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peftcalc.adapters.layers.base import AdaptedLayer
from peftcalc.adapters.layers.dora import SMALLEST_NORM, Magnitude
from peftcalc.adapters.layers.frozen_weight import matrix


@dataclass(frozen=True)
class Slices:
    """How many models of a stack are trained in full, and how many of the others are decomposed."""

    models: int
    full: int
    decomposed: int

    @property
    def adapted(self) -> int:
        return self.models - self.full


@dataclass
class Trained:
    """Views of the rows: what is trained in a layer, (models, …), and where its gradient goes."""

    weight: Tensor
    bias: Tensor | None
    A: Tensor
    B: Tensor
    magnitude: Tensor


class StackedLinear(nn.Module):
    """`y_k = x_k W_kᵀ + b_k` for K models, (K, rows, in) → (K, rows, out).

    Args:
        layers: the layer of each model: a linear one, one in 4 bits, or an adapted one over either.
        slices: their kinds.
    """

    trained: Trained
    gradients: Trained

    def __init__(self, layers: Sequence[Any], slices: Slices) -> None:
        super().__init__()
        self.slices = slices
        bases = [layer.base if isinstance(layer, AdaptedLayer) else layer for layer in layers]
        weights = torch.stack([matrix(base) for base in bases]).contiguous()  # (K, out, in)
        self.weight = nn.Parameter(weights)
        self.base = weights[slices.full :].clone()
        biases = [base.bias.detach() for base in bases if base.bias is not None]
        self.bias = nn.Parameter(torch.stack(biases).unsqueeze(1), slices.full > 0) if biases else None  # (K, 1, out)
        self.out_features, self.in_features = weights.shape[1:]
        adapted = [layer if isinstance(layer, AdaptedLayer) else None for layer in layers[slices.full :]]
        self.rank = max((layer.rank for layer in adapted if layer is not None), default=0)
        scales = [layer.scale if layer is not None else 1.0 for layer in adapted]
        self.scale = torch.tensor(scales).view(-1, 1, 1)
        self.unit = torch.zeros(slices.decomposed, *weights.shape[1:])
        self._start = adapted

    def shapes(self) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Of what is trained in full; of A; of B and the magnitude."""
        bias = [(self.out_features,)] if self.bias is not None else []
        a, b = (self.rank, self.in_features), (self.out_features, self.rank)
        return [(self.out_features, self.in_features), *bias], [a], [b, (self.out_features,)]

    @torch.no_grad()
    def begin(self) -> None:
        """Put into the rows what each model starts with; the layers of the models are no longer needed then."""
        full, trained = self.slices.full, self.trained
        trained.weight.copy_(self.weight[:full])
        if self.bias is not None and trained.bias is not None:
            trained.bias.copy_(self.bias[:full, 0])
        for model, layer in enumerate(self._start):
            if layer is None:
                continue
            trained.A[model, : layer.rank] = layer.A
            trained.B[model, :, : layer.rank] = layer.B
            if isinstance(layer, Magnitude):
                trained.magnitude[model] = layer.magnitude
        self._start = []

    @torch.no_grad()
    def compose(self) -> None:
        """The weights that the methods come to."""
        slices, trained = self.slices, self.trained
        if slices.full:
            self.weight[: slices.full].copy_(trained.weight)
            if self.bias is not None and trained.bias is not None:
                self.bias[: slices.full, 0].copy_(trained.bias)
        if slices.adapted:
            updated = self.weight[slices.full :]
            torch.baddbmm(self.base, trained.B * self.scale, trained.A, out=updated)
        if slices.decomposed:
            V = self.weight[-slices.decomposed :]
            self.norm = V.norm(dim=2, keepdim=True).clamp_min_(SMALLEST_NORM)  # n, a constant in backward
            torch.div(V, self.norm, out=self.unit)
            torch.mul(self.unit, trained.magnitude[-slices.decomposed :].unsqueeze(2), out=V)

    @torch.no_grad()
    def pull_back(self, grad: Tensor, grad_bias: Tensor | None = None) -> None:
        """From the gradients of the weights and biases to those of what is trained."""
        slices, trained, out = self.slices, self.trained, self.gradients
        if slices.full:
            out.weight.copy_(grad[: slices.full])
            if grad_bias is not None and out.bias is not None:
                out.bias.copy_(grad_bias[: slices.full, 0])
        if slices.decomposed:
            of_V = grad[-slices.decomposed :]
            out.magnitude[-slices.decomposed :] = (of_V * self.unit).sum(dim=2)
            of_V.mul_(trained.magnitude[-slices.decomposed :].unsqueeze(2) / self.norm)
        if slices.adapted and self.rank:
            grad = grad[slices.full :]
            out.A.copy_((trained.B * self.scale).mT @ grad)
            out.B.copy_(grad @ (trained.A * self.scale).mT)

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return torch.bmm(x, self.weight.mT)
        return torch.baddbmm(self.bias, x, self.weight.mT)

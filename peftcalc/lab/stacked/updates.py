"""The updates of some models of a stack in one layer: `adapters.layers.lora` and `dora` for several models at once.

Their operations come in the same order as there, so that each model's numbers are those of its run alone, bit for bit
where the processor's library multiplies a stack of matrices as it multiplies one. A ReLU that falls on the other side
of zero by a rounding would change a run visibly; so it is worth the care.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peftcalc.adapters.layers.dora import CANCELLED, SMALLEST_NORM

TINY = 4096
"""Multiplications in a product; up to so many a library takes another way for a stack than for one matrix."""


class LowRank:
    """`s · B A x` for models that stand side by side in a stack, with the same rank in this layer.

    Args:
        models: their places in the stack.
        layers: their adapted layers, from which A and B start.
    """

    A: Tensor
    B: Tensor
    grad_A: Tensor
    grad_B: Tensor

    def __init__(self, models: slice, layers: Sequence[Any]) -> None:
        self.models, self.layers, self.rank = models, list(layers), layers[0].rank
        self.scale = torch.tensor([layer.scale for layer in layers]).view(-1, 1, 1)
        self.trains_A = any(layer.A.requires_grad for layer in layers)
        out, into = layers[0].B.shape[0], layers[0].A.shape[1]
        self.shapes_A: list[tuple[int, ...]] = [(self.rank, into)]
        self.shapes_B: list[tuple[int, ...]] = [(out, self.rank)]

    def take(self, A: Sequence[Tensor], B: Sequence[Tensor]) -> None:
        """Keep these trained numbers, (models, *shapes)."""
        (self.A,), (self.B, *_) = A, B

    def take_gradients(self, A: Sequence[Tensor], B: Sequence[Tensor]) -> None:
        """Write gradients here."""
        (self.grad_A,), (self.grad_B, *_) = A, B

    def begin(self) -> None:
        """The numbers with which the models start; their layers are let go."""
        for place, layer in enumerate(self.layers):
            self.A[place], self.B[place] = layer.A, layer.B
        self.layers = []

    def forward(self, z: Tensor, x: Tensor, W: Tensor, bias: Tensor | None) -> None:
        """Add the update for `x`, (models, rows, in), to `z = W x + b`, (models, rows, out), in place."""
        self.Ax = torch.bmm(self.A, x.mT).mul_(self.scale)  # (models, rank, rows)
        z.baddbmm_(self.Ax.mT, self.B.mT)

    def backward(self, grad: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        """Gradients of what is trained; returns `s · Bᵀ grad`, (models, rank, rows)."""
        inner = product(self.B.mT, grad.mT).mul_(self.scale)
        if self.trains_A:
            torch.bmm(inner, x, out=self.grad_A)
        self.grad_B.copy_(product(self.Ax, grad).mT)
        return inner


class Decomposed(LowRank):
    """DoRA's `m/n ∘ (W x + s · B A x) + b` for models with the same rank and the same s in this layer."""

    magnitude: Tensor
    grad_magnitude: Tensor

    def __init__(self, models: slice, layers: Sequence[Any]) -> None:
        super().__init__(models, layers)
        self.factor = float(layers[0].scale)
        self.squares = torch.stack([layer.squared_base_norm() for layer in layers])  # (models, out)
        self.shapes_B.append((self.squares.shape[1],))

    def take(self, A: Sequence[Tensor], B: Sequence[Tensor]) -> None:
        super().take(A, B)
        self.magnitude = B[1]

    def take_gradients(self, A: Sequence[Tensor], B: Sequence[Tensor]) -> None:
        super().take_gradients(A, B)
        self.grad_magnitude = B[1]

    def begin(self) -> None:
        for place, layer in enumerate(self.layers):
            self.magnitude[place] = layer.magnitude
        super().begin()

    def forward(self, z: Tensor, x: Tensor, W: Tensor, bias: Tensor | None) -> None:
        self.norm = self.row_norm(W)
        super().forward(z, x, W, bias)
        self.z = z.clone()
        self.stretch = (self.magnitude / self.norm).sub_(1)
        torch.addcmul(self.z, self.z, self.stretch.unsqueeze(1), out=z)
        if bias is not None:
            z.sub_(self.stretch.unsqueeze(1) * bias)

    def backward(self, grad: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
        """As above; `grad` becomes the gradient of what is stretched."""
        self.grad_magnitude.copy_((grad * self.z).sum(dim=1).div_(self.norm))
        if bias is not None:
            self.grad_magnitude.sub_(bias.squeeze(1) * grad.sum(dim=1) / self.norm)
        grad.addcmul_(grad, self.stretch.unsqueeze(1))
        return super().backward(grad, x, bias)

    def row_norm(self, W: Tensor) -> Tensor:
        """`n = ‖W + s · B A‖` by row, (models, out): `adapters.layers.dora.row_norm`."""
        A, B, s = self.A, self.B, self.factor
        added = product(product(A, A.mT), B.mT, torch.bmm(A, W.mT), 2 * s, s * s)
        squared = added.mul_(B.mT).sum(dim=1).add_(self.squares)
        cancelled = squared < CANCELLED * self.squares
        norm = squared.clamp_min_(SMALLEST_NORM**2).sqrt_()
        if bool(cancelled.any()):
            formed = torch.baddbmm(W, B, A, alpha=s).norm(dim=2).clamp_min_(SMALLEST_NORM)
            norm = torch.where(cancelled, formed, norm)
        return norm


def product(left: Tensor, right: Tensor, added: Tensor | None = None, beta: float = 1, alpha: float = 1) -> Tensor:
    """`β · added + α · left @ right` of stacks of matrices, each product rounded as it would be alone."""
    models, rows, inside = left.shape
    if rows * inside * right.shape[2] > TINY:
        if added is None:
            return torch.bmm(left, right)
        return torch.baddbmm(added, left, right, beta=beta, alpha=alpha)
    out = left.new_empty(models, rows, right.shape[2])
    pairs = zip(left.unbind(), right.unbind(), out.unbind(), strict=True)
    if added is None:
        for one, other, result in pairs:
            torch.mm(one, other, out=result)
    else:
        for (one, other, result), addend in zip(pairs, added.unbind(), strict=True):
            torch.addmm(addend, one, other, beta=beta, alpha=alpha, out=result)
    return out

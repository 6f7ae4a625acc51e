"""DoRA: LoRA with the length of every output row trained apart from its direction (Liu et al. 2024, arXiv:2402.09353).

The second step of the ladder: `lora.py` adds an update, this adds the magnitude. The norm of the paper's eq. 5 is
computed without ever forming `B A`, an (out, in) matrix.
"""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftcalc.adapters.layers import few_tokens
from peftcalc.adapters.layers.base import AdaptedLayer, Options
from peftcalc.adapters.layers.frozen_weight import (
    as_rows,
    base_product,
    cast,
    differentiable_once,
    master_dtype,
    matrix,
    product_dtype,
    stored,
)
from peftcalc.adapters.layers.lora import LoRALinear, input_gradient, low_rank_backward, low_rank_forward

SMALLEST_NORM = 1e-12
"""A row of zeros has no direction; its norm counts as this, in the magnitude and in the norm alike."""

ROWS_TOGETHER = 1024
"""Up to so many tokens it is quicker to copy them beside the rows of A than to read W twice."""

CANCELLED = 1e-2
"""Below this share of ‖W‖² a row's squared norm, a difference of large terms, has fewer than five digits in float32."""


class Magnitude(AdaptedLayer):
    """The idea of DoRA for any kind of layer: `W' = m/n ∘ (W + s · B A)` with `n = ‖W + s · B A‖` by output row.

    A layer inherits from this first and from its LoRA second, and calls `start_magnitude` once it has A and B.
    """

    magnitude: nn.Parameter
    _squares: tuple[tuple[Any, ...], Tensor] | None = None

    def start_magnitude(self) -> None:
        """`m = n`: step 0 is the base layer exactly, because m and n are then the same float32 numbers."""
        self.magnitude = nn.Parameter(self.norm())  # (out,)

    def adapter(self) -> dict[str, nn.Parameter]:
        return super().adapter() | {"lora_magnitude_vector": self.magnitude}

    def effective_weight(self) -> Tensor:
        """`m/n ∘ (W + s · B A)`, (out, in)"""
        return (self.magnitude.flatten() / self.norm()).unsqueeze(1) * super().effective_weight()

    @torch.no_grad()
    def norm(self) -> Tensor:
        """`n`, (out,), a constant in backward (section 4.3), from the small matrices only; see `row_norm`."""
        A, B = self.factors()
        W = matrix(self.base, product_dtype(A.dtype, A.device))
        return row_norm(W, A, B, self.scale, self.squared_base_norm())

    @torch.no_grad()
    def norm_directly(self) -> Tensor:
        """`n` as the paper writes it, forming `W + s · B A`: the reference for `norm`."""
        return super().effective_weight().norm(dim=1).clamp_min(SMALLEST_NORM)

    def squared_base_norm(self) -> Tensor:
        """‖W‖² by row, (out,), in float32 or better; kept until the base's weight is another one."""
        weight, dtype = stored(self.base), master_dtype(self.factors()[0].dtype)
        version = (weight.data_ptr(), weight._version, weight.device, dtype)
        if self._squares is None or self._squares[0] != version:
            if weight.is_meta and not self.factors()[0].is_meta:
                raise ValueError("DoRA reads its base's weight, and this one is on the meta device: it is offloaded")
            W = matrix(self.base)
            widest = torch.promote_types(W.dtype, dtype)
            squares = torch.linalg.vector_norm(W, dim=1, dtype=widest).square().to(dtype)
            self._squares = (version, squares)
        return self._squares[1]


class DoRALinear(Magnitude, LoRALinear):
    """`y = m/n ∘ (W x + s · B A x) + b`, with `n = ‖W + s · B A‖` by output row, and `m = n` at the start.

    Step 0 is the base layer exactly, in float32 and in bfloat16. Trained parameters: LoRA's and out more. Arguments as
    for `LoRALinear`, without its bias.

    >>> _ = torch.manual_seed(0)
    >>> base, x = nn.Linear(6, 4, dtype=torch.bfloat16), torch.randn(2, 6, dtype=torch.bfloat16)
    >>> torch.equal(DoRALinear(base, rank=2)(x), base(x))
    True
    """

    def __init__(self, base: nn.Module, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        self.start_magnitude()

    def beside(self, y: Tensor, x: Tensor) -> Tensor:
        """As peft: the base's own output `y` stands for `W x + b`, and with dropout `W` multiplies what is left."""
        bias = self.base.bias
        product = y if bias is None else y - bias
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
            product = F.linear(x, matrix(self.base, x.dtype))
        ratio = self.magnitude / self.norm()
        return y + (ratio - 1) * product + ratio * self.update(x)

    def adapted_product(self, x: Tensor) -> Tensor:
        """With dropout, both terms of the paper's sum see the dropped input; `b` and `W x` of what was dropped stay."""
        bias, rest = self.base.bias, None
        if self.dropout and self.training:
            dropped = F.dropout(x, self.dropout)
            x, bias, rest = dropped, None, self.base(x - dropped)
        squares = self.squared_base_norm()
        y = _DoRAProduct.apply(x, self.A, self.B, self.magnitude, bias, self.base, squares, self.scale)
        return y if rest is None else y + rest


def row_norm(W: Tensor, A: Tensor, B: Tensor, scale: float, squares: Tensor, WA: Tensor | None = None) -> Tensor:
    """`n = ‖W + s · B A‖` by row, (out,), without forming `B A`.

    `n² = ‖W‖² + 2s · rowsum((W Aᵀ) ∘ B) + s² · rowsum((B (A Aᵀ)) ∘ B)`, in float32, where ‖W‖² = `squares` is known.
    It costs `rank` more tokens through the base, unless their product `WA`, (rank, out), is known too.

    >>> W, A, B = torch.eye(2), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0], [1.0]])
    >>> row_norm(W, A, B, 1.0, torch.ones(2)), (W + B @ A).norm(dim=1)
    (tensor([1.0000, 5.8310]), tensor([1.0000, 5.8310]))
    """
    A, B = cast(A, squares.dtype), cast(B, squares.dtype)
    if WA is None:
        WA = F.linear(cast(A, W.dtype), W)  # (rank, out), the transpose of the formula's W Aᵀ
    AA, smallest = A @ A.T, SMALLEST_NORM**2  # (rank, rank)
    if few_tokens.take(A.shape[0], (B, AA, squares), (WA,)):
        norm, cancelled = few_tokens.row_norm(WA, AA, B, squares, scale, CANCELLED, smallest)
    else:
        cross = torch.addmm(cast(WA, A.dtype), AA, B.T, beta=2 * scale, alpha=scale * scale)
        squared = cross.mul_(B.T).sum(0).add_(squares)
        # A traced step's tensors have no numbers to ask, and another type.
        known = type(squared) is Tensor and not squared.is_meta
        cancelled = known and bool((squared < CANCELLED * squares).any())
        norm = squared.clamp_min_(smallest).sqrt_()
    if cancelled:  # an update nearly undoes its row: the sum has lost its digits, so form these rows alone
        rows = norm.square() < CANCELLED * squares
        norm[rows] = W[rows].to(A.dtype).addmm(B[rows], A, alpha=scale).norm(dim=1).clamp_min_(SMALLEST_NORM)
    return norm


def stretch_forward(z: Tensor, magnitude: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """`y = m/n ∘ z`, (tokens, out), and the stretch `m/n − 1`, (out,).

    Written `z + (m/n − 1) ∘ z`, this keeps its precision in bfloat16, and leaves `z` untouched where m = n.
    """
    if few_tokens.take(1, (magnitude, norm), (z,)):
        return few_tokens.stretch_forward(z, magnitude, norm)
    stretch = (magnitude / norm).sub_(1)
    return torch.addcmul(z, z, cast(stretch, z.dtype)), stretch


def stretch_backward(grad: Tensor, z: Tensor, stretch: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """For `grad = ∂L/∂y`: `∂L/∂z = m/n ∘ grad`, (tokens, out), and the gradient of m, (out,)."""
    if few_tokens.take(1, (stretch, norm), (grad, z)):
        return few_tokens.stretch_backward(grad, z, stretch, norm)
    grad_magnitude = (grad * z).sum(0, dtype=norm.dtype).div_(norm)
    return torch.addcmul(grad, grad, cast(stretch, grad.dtype)), grad_magnitude


def _product_and_norm_part(
    rows: Tensor, base: Any, bias: Tensor | None, A: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """`z = W x + b`, (tokens, out), the `W` that was used, and `A Wᵀ`, (rank, out), multiplied in `dtype`.

    A processor rearranges a 16-bit `W` for every product, which takes longer than multiplying a few rows with it: the
    rows of A then go through the base together with those of `x`. A sum in 16 bits does not depend on how many rows
    there are, as one in float32 may; so step 0 stays the base layer exactly.
    """
    tokens = rows.shape[0]
    in_16_bits = dtype.itemsize == 2 and rows.device.type == "cpu"
    if in_16_bits and bias is None and tokens <= ROWS_TOGETHER:
        both, W = base_product(torch.cat((rows, cast(A, dtype))), base, None, dtype)
        return both[:tokens], W, both[tokens:]
    z, W = base_product(rows, base, bias, dtype)
    W = cast(W, dtype)
    return z, W, F.linear(cast(A, dtype), W)


class _DoRAProduct(torch.autograd.Function):
    """LoRA's product `z = W x + s · B A x + b`, then its rows stretched: `y = m/n ∘ (z − b) + b`."""

    @staticmethod
    def forward(ctx: Any, x, A, B, magnitude, bias, base, squares, scale) -> Tensor:  # type: ignore[override]
        rows = as_rows(x)  # (tokens, in)
        dtype = product_dtype(x.dtype, x.device)
        z, W, WA = _product_and_norm_part(rows, base, bias, A, dtype)
        norm = row_norm(W, A, B, scale, squares, WA)
        Ax = low_rank_forward(z, rows, A, B, scale, dtype)
        y, stretch = stretch_forward(z, magnitude, norm)
        if bias is not None:
            y.sub_(stretch * bias)
        ctx.save_for_backward(rows if A.requires_grad else None, Ax, A, B, cast(z, x.dtype), stretch, norm, bias)
        ctx.base, ctx.scale, ctx.dtype, ctx.shape = base, scale, dtype, x.shape
        return cast(y, x.dtype).view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor):  # type: ignore[override]
        x, Ax, A, B, z, stretch, norm, bias = ctx.saved_tensors
        needs_x, _, _, _, needs_bias, *_ = ctx.needs_input_grad
        grad = grad.reshape(z.shape)  # (tokens, out)
        grad_z, grad_magnitude = stretch_backward(grad, z, stretch, norm)
        grad_bias = None
        if bias is not None:
            grad_bias = grad.sum(0)
            grad_magnitude -= bias * grad_bias / norm
        grad_A, grad_B, inner = low_rank_backward(grad_z, x, Ax, A, B, ctx.scale)
        grad_x = None
        if needs_x:
            grad_x = input_gradient(grad_z, ctx.base, inner, A, ctx.dtype)
            grad_x = cast(grad_x, grad.dtype).view(ctx.shape)
        return grad_x, grad_A, grad_B, grad_magnitude, grad_bias if needs_bias else None, None, None, None

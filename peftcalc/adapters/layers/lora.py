"""LoRA: a frozen linear layer plus a trained update of low rank (Hu et al. 2021, arXiv:2106.09685, section 4.1).

The first step of the ladder `lora → dora`, over either base: `nn.Linear` or `quantized.QuantizedLinear`. Shapes: `W`
(out, in), `A` (rank, in), `B` (out, rank). One autograd function computes base and update together, so that no scaled
or widened copy of an activation is ever kept.
"""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftcalc.adapters.layers import few_tokens
from peftcalc.adapters.layers.base import AdaptedLayer, Options, adapter_parameter
from peftcalc.adapters.layers.frozen_weight import (
    add_product,
    as_rows,
    base_product,
    cast,
    differentiable_once,
    features,
    has_own_forward,
    matrix,
    must_be_called,
    product_dtype,
    stored,
    thin_dtype,
)


class LoRALinear(AdaptedLayer):
    """`y = W x + b + s · B A dropout(x)`, with `W` frozen, `A` Kaiming-uniform and `B = 0` at the start, or another
    one of `starts.py`.

    Step 0 is therefore the base layer exactly; where the start takes `s · B A` out of `W`, to the rounding of that
    difference. The random numbers are drawn in peft's order: the same seed gives the same `A`. Trained parameters:
    rank · (in + out), out more with `lora_bias`, and rank · out with a frozen A.

    Args:
        base: `nn.Linear`, transformers' `Conv1D` or `QuantizedLinear`.
        options: as for `AdaptedLayer`.

    >>> _ = torch.manual_seed(0)
    >>> base, x = nn.Linear(6, 4), torch.randn(2, 6)
    >>> torch.equal(LoRALinear(base, rank=2)(x), base(x))
    True
    """

    def __init__(self, base: nn.Module, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        self.in_features, self.out_features = features(base)
        A = nn.Linear(self.in_features, self.rank, bias=False)
        B = nn.Linear(self.rank, self.out_features, bias=self.with_lora_bias)
        self.A, self.B = self.started(A.weight, B.weight, options.get("floats"))
        self.lora_bias = adapter_parameter(torch.zeros_like(B.bias), stored(base)) if self.with_lora_bias else None

    def adapter(self) -> dict[str, nn.Parameter]:
        return super().adapter() | ({"lora_B.bias": self.lora_bias} if self.lora_bias is not None else {})

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """(…, in) → (…, out); further arguments are those of a base with a forward of its own."""
        if self.merged_base is not None:
            return self.merged_base(x, *others, **named)
        if others or named or must_be_called(self.base):
            y = self.base(x, *others, **named)
            return self.beside(y, x).to(y.dtype)
        device = x.device.type
        if device == "meta" or not torch.is_autocast_enabled(device):
            return self.adapted_product(x)
        with torch.autocast(device, enabled=False):
            return self.adapted_product(x.to(torch.get_autocast_dtype(device)))

    def adapted_product(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)"""
        dropped = F.dropout(x, self.dropout) if self.dropout and self.training else None
        base = self.base
        return _LoRAProduct.apply(x, dropped, self.A, self.B, self.lora_bias, base.bias, base, self.scale)

    def beside(self, y: Tensor, x: Tensor) -> Tensor:
        """The base's own output `y` for `x`, whatever it is, and the update: as peft adds it."""
        return y + self.update(F.dropout(x, self.dropout, self.training))

    def update(self, x: Tensor) -> Tensor:
        """`s · (B A x + b_B)`, (…, out)"""
        return F.linear(F.linear(x.to(self.A.dtype), self.A), self.B, self.lora_bias) * self.scale

    def merge(self) -> None:
        """See `AdaptedLayer`."""
        if self.merged_base is not None:
            return
        super().merge()
        own = self.base.__dict__
        if has_own_forward(type(self.base)) or own["_forward_hooks"] or own["_forward_pre_hooks"]:
            self._check_merged()

    @torch.no_grad()
    def _check_merged(self) -> None:
        """A forward of its own, or a hook, may do with the product what the update beside it does not see."""
        x = torch.linspace(-1, 1, 3 * self.in_features, device=self.A.device).sin().view(3, -1)
        x = x.to(stored(self.base).dtype if stored(self.base).is_floating_point() else self.base.dtype)
        y = self.base(x)
        apart, merged = self.beside(y, x).float(), self.merged_base(x).float()
        if not torch.allclose(apart, merged, rtol=0.02, atol=0.02 * float(apart.abs().max())):
            self.merged_base = None
            raise ValueError(
                f"{type(self.base).__name__} has a forward or a hook of its own, through which a merged weight does "
                "not give what base and adapter give apart; nothing was merged"
            )


def low_rank_forward(y: Tensor, x: Tensor, A: Tensor, B: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Add `s · B A x` to `y` in place; returns `s · A x` with the rank first, (rank, tokens). Wide products in `dtype`.

    Thin products are two to nine times faster in that layout than as `x Aᵀ`, here and in backward.
    """
    if few_tokens.take(A.shape[0], (A, B), (x, y)):
        return few_tokens.low_rank_forward(y, x, A, B, scale)
    thin = thin_dtype(x)
    Ax = (cast(A, thin) @ cast(x, thin).T).mul_(scale)
    add_product(y, Ax.T, B.T, dtype)
    return Ax


def low_rank_backward(
    grad: Tensor, x: Tensor | None, Ax: Tensor, A: Tensor, B: Tensor, scale: float
) -> tuple[Tensor | None, Tensor, Tensor]:
    """For `grad = ∂L/∂y` and `Ax` from `low_rank_forward`: the gradients of A and B, and `s · Bᵀ grad`, (rank, tokens),
    from which `x`'s part follows. Without `x` there is none for A."""
    if x is not None and few_tokens.take(Ax.shape[0], (Ax, B), (grad, x)):
        return few_tokens.low_rank_backward(grad, x, Ax, B, scale)
    dtype = Ax.dtype
    grad = cast(grad, dtype)
    inner = (cast(B, dtype).T @ grad.T).mul_(scale)  # (rank, tokens)
    grad_A = None if x is None else cast(inner @ cast(x, dtype), A.dtype)
    grad_B = (Ax @ grad).T.contiguous()  # (out, rank)
    return grad_A, cast(grad_B, B.dtype), inner


def input_gradient(grad: Tensor, base: Any, inner: Tensor | None, A: Tensor, dtype: torch.dtype) -> Tensor:
    """`Wᵀ grad + Aᵀ inner`, (tokens, in), multiplied in `dtype`."""
    grad_x = cast(grad, dtype) @ matrix(base, dtype)
    if inner is None:
        return grad_x
    if few_tokens.take(A.shape[0], (A, inner), (grad_x,)):
        return few_tokens.add_low_rank(grad_x, inner, A)
    return add_product(grad_x, inner.T, A, dtype)


class _LoRAProduct(torch.autograd.Function):
    """Saves `x` and `A x` only, and of these `A x` alone where A is frozen (LoRA-FA, section 3.2); a 4-bit base is
    dequantized again in backward."""

    @staticmethod
    def forward(ctx: Any, x, dropped, A, B, lora_bias, bias, base, scale) -> Tensor:  # type: ignore[override]
        rows = as_rows(x)  # (tokens, in)
        dtype = product_dtype(x.dtype, x.device)
        y, _ = base_product(rows, base, bias, dtype)
        into_adapter = rows if dropped is None else dropped.reshape(rows.shape)
        Ax = low_rank_forward(y, into_adapter, A, B, scale, dtype)
        if lora_bias is not None:
            y.add_(lora_bias, alpha=scale)
        ctx.save_for_backward(into_adapter if A.requires_grad else None, Ax, A, B)
        ctx.base, ctx.scale, ctx.dtype, ctx.has_dropout, ctx.shape = base, scale, dtype, dropped is not None, x.shape
        return cast(y, x.dtype).view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor):  # type: ignore[override]
        x, Ax, A, B = ctx.saved_tensors
        needs_x, needs_dropped, _, _, needs_lora_bias, needs_bias, _, _ = ctx.needs_input_grad
        grad = as_rows(grad)  # (tokens, out)
        grad_A, grad_B, inner = low_rank_backward(grad, x, Ax, A, B, ctx.scale)
        grad_x = grad_dropped = None
        if needs_x:
            grad_x = input_gradient(grad, ctx.base, None if ctx.has_dropout else inner, A, ctx.dtype)
            grad_x = cast(grad_x, grad.dtype).view(ctx.shape)
        if needs_dropped:
            grad_dropped = cast(inner.T @ cast(A, inner.dtype), grad.dtype).view(ctx.shape)
        grad_bias = grad.sum(0) if needs_bias or needs_lora_bias else None
        grad_lora_bias = grad_bias * ctx.scale if needs_lora_bias else None
        return grad_x, grad_dropped, grad_A, grad_B, grad_lora_bias, grad_bias if needs_bias else None, None, None

"""A linear layer whose weight is stored in 4 bits: the base of QLoRA and QDoRA (Dettmers et al. 2023,
arXiv:2305.14314).

Codes and scales are all that is kept. The weight is dequantized in forward and again in backward, so that between the
two a layer holds half a byte a parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftcalc.adapters.layers.frozen_weight import (
    HOOKS,
    as_rows,
    cast,
    differentiable_once,
    is_conv1d,
    matrix,
    product_dtype,
)
from peftcalc.methods import QLoRA
from peftcalc.quant.blockwise import dequantize_4bit, quantize_4bit
from peftcalc.quant.nested import NestedScales, quantize_scales


class QuantizedLinear(nn.Module):
    """`y = dequantize(codes, scales) x + b`, in which only the bias could be trained.

    Stored are 4 bits a parameter and, for each block of 64 of them, a scale of 32 bits, or of 8 bits when double
    quantized: 4.5 or 4.127 bits a parameter in all.

    Args:
        weight: (out, in), in floats.
        bias: (out,), or None.
        quant: "nf4" or "fp4".
        double_quant: quantize the block scales too (QLoRA paper, section 3).

    >>> layer = QuantizedLinear(torch.randn(512, 512))
    >>> round(sum(buffer.nbytes for buffer in layer.buffers()) * 8 / 512**2, 3)
    4.127
    """

    was_conv1d: bool = False
    codes: Tensor
    bias: nn.Parameter | None
    scales: Tensor
    scale_codes: Tensor
    scale_scales: Tensor
    scale_offset: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, quant: str = "nf4", double_quant: bool = True
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.quant, self.double_quant, self.dtype = quant, double_quant, weight.dtype
        codes, scales = quantize_4bit(weight, quant)
        self.register_buffer("codes", codes)  # (out · in / 2,), two codes a byte
        if double_quant:
            nested = quantize_scales(scales)
            self.register_buffer("scale_codes", nested.codes)  # (blocks,), one byte each
            self.register_buffer("scale_scales", nested.scales)  # (blocks / 256,)
            self.register_buffer("scale_offset", nested.offset)  # ()
        else:
            self.register_buffer("scales", scales)  # (blocks,)
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    @classmethod
    def of(cls, layer: Any, method: QLoRA) -> QuantizedLinear:
        """The 4-bit copy of an `nn.Linear` or `Conv1D`."""
        quantized = cls(matrix(layer), layer.bias, method.quant, method.double_quant)
        quantized.was_conv1d = is_conv1d(layer)
        return quantized._heard_by(layer.__dict__)

    def _heard_by(self, other: dict[str, Any]) -> QuantizedLinear:
        """Whoever listens to the layer that this one stands for, through a hook, goes on listening."""
        self.__dict__.update({name: other[name] for name in HOOKS})
        return self

    @property
    def weight(self) -> Tensor:
        """`W` as the layer that this was made of stored it, dequantized anew for code that reads a layer's weight
        instead of calling it (T5, `nn.TransformerEncoderLayer`)."""
        W = self.dequantize()
        return W.T if self.was_conv1d else W

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> QuantizedLinear:
        """`.to(…)` and its kin: codes and scales go to another device and keep their types, whatever type is asked
        for; `W` is dequantized to that type from then on. A scale in 16 bits would be another scale."""
        kept = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, before in kept.items():
            now = self._buffers[name]
            if before is not None and now is not None and now.dtype != before.dtype:
                self._buffers[name] = before.to(now.device)
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.codes.device)).dtype
        return self

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """`W`, (out, in), made anew on every call: the code's value times its block's scale."""
        scales = self.block_scales()
        count = self.out_features * self.in_features
        numbers = dequantize_4bit(self.codes, scales, count, self.quant, dtype=dtype or self.dtype)
        return numbers.view(self.out_features, self.in_features)

    def block_scales(self) -> Tensor:
        """The largest magnitude of each block, (blocks,), float32."""
        if not self.double_quant:
            return self.scales
        return NestedScales(self.scale_codes, self.scale_scales, self.scale_offset).dequantize()

    def with_weight(self, weight: Tensor, bias: Tensor | None) -> QuantizedLinear:
        """The same layer with another weight, quantized in the same way."""
        layer = QuantizedLinear(weight.to(self.dtype), bias, self.quant, self.double_quant)
        layer.was_conv1d = self.was_conv1d
        return layer._heard_by(self.__dict__)

    def to_floats(self) -> nn.Module:
        """The layer that this was made of (`nn.Linear` or `Conv1D`), with the dequantized weight."""
        W = self.dequantize()
        layer: Any = nn.Linear(self.in_features, self.out_features, self.bias is not None, "meta", self.dtype)
        if self.was_conv1d:
            from transformers.pytorch_utils import Conv1D

            layer, W = Conv1D(self.out_features, self.in_features), W.T.contiguous()
        layer.weight, layer.bias = nn.Parameter(W), self.bias
        layer.__dict__.update({name: self.__dict__[name] for name in HOOKS})
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)"""
        return _FrozenProduct.apply(x, self.bias, self)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, quant={self.quant}"


class _FrozenProduct(torch.autograd.Function):
    """Saves nothing at all: the gradient of a frozen product needs the weight alone."""

    @staticmethod
    def forward(ctx: Any, x, bias, base) -> Tensor:  # type: ignore[override]
        ctx.base = base
        W = base.dequantize(product_dtype(x.dtype, x.device))
        return cast(F.linear(cast(x, W.dtype), W, None if bias is None else cast(bias, W.dtype)), x.dtype)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor):  # type: ignore[override]
        needs_x, needs_bias, _ = ctx.needs_input_grad
        W = ctx.base.dequantize(product_dtype(grad.dtype, grad.device))
        grad_x = cast(cast(grad, W.dtype) @ W, grad.dtype) if needs_x else None
        return grad_x, as_rows(grad).sum(0) if needs_bias else None, None

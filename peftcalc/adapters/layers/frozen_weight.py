"""The frozen base of an adapter: one way to read its matrix, whether it is stored in floats or in 4 bits.

Everything here is about *how* the products of the papers are computed; what they mean stands in `lora.py` and
`dora.py`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def is_conv1d(base: nn.Module) -> bool:
    """True for transformers' `Conv1D` (GPT-2), a linear layer that stores its weight as `(in, out)`."""
    transformers_layers = sys.modules.get("transformers.pytorch_utils")
    return transformers_layers is not None and isinstance(base, transformers_layers.Conv1D)


def is_linear(module: nn.Module) -> bool:
    """True for the layers that compute `y = W x + b`: `nn.Linear` and transformers' `Conv1D`."""
    return isinstance(module, nn.Linear) or is_conv1d(module)


HOOKS = (
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
    *("_backward_hooks", "_backward_pre_hooks"),
)
"""Where torch keeps what somebody else asked to be told of a layer."""
_ASKED = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@functools.cache
def has_own_forward(kind: type) -> bool:
    """True for a subclass of a linear layer that computes something else than `W x + b`.

    >>> has_own_forward(nn.Linear), has_own_forward(type("Twice", (nn.Linear,), {"forward": lambda layer, x: 2 * x}))
    (False, True)
    """
    known = next((parent for parent in kind.__mro__ if parent.__module__ in _LINEAR_MODULES), None)
    return known is not None and kind.forward is not known.forward


_LINEAR_MODULES = ("torch.nn.modules.linear", "transformers.pytorch_utils")


def must_be_called(base: nn.Module) -> bool:
    """True when only a call of the base itself gives its product: it has a forward of its own, somebody listens to it
    through a hook, or its weight is fetched from elsewhere for each call."""
    own = base.__dict__
    return has_own_forward(type(base)) or "forward" in own or any(own[name] for name in _ASKED)


def is_transposed(base: nn.Module) -> bool:
    """True for layers that store their weight as `(in, out)`; an embedding turns (tokens) into (features)."""
    return isinstance(base, nn.Embedding) or is_conv1d(base)


def is_quantized(base: object) -> bool:
    """True for a `QuantizedLinear`, asked of its class: a module that lacks an attribute takes long to say so."""
    return hasattr(type(base), "dequantize")


def matrix(base: Any, dtype: torch.dtype | None = None) -> Tensor:
    """The base's `W` of shape (out, in): a view of the parameter, or 4 bits dequantized on this very call.

    >>> matrix(nn.Linear(3, 2)).shape, matrix(nn.Embedding(9, 4)).shape, matrix(nn.Conv2d(3, 2, 5)).shape
    (torch.Size([2, 3]), torch.Size([4, 9]), torch.Size([2, 75]))
    """
    if is_quantized(base):
        return base.dequantize(dtype)
    weight = base.weight.detach()
    if type(base) is not nn.Linear:
        weight = weight.T if is_transposed(base) else weight.flatten(1)
    return weight if dtype is None else cast(weight, dtype)


def stored(base: Any) -> Tensor:
    """The tensor that holds the base's weight: floats, or the bytes of 4-bit codes."""
    return base.codes if is_quantized(base) else base.weight


def features(base: Any) -> tuple[int, int]:
    """(in, out) of a linear layer.

    >>> features(nn.Linear(3, 2))
    (3, 2)
    """
    if hasattr(base, "in_features"):
        return base.in_features, base.out_features
    rows, columns = base.weight.shape  # Conv1D: (in, out)
    return rows, columns


@functools.cache
def master_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision in which adapters are kept and norms are computed: float32 or better.

    >>> master_dtype(torch.bfloat16)
    torch.float32
    """
    return torch.promote_types(dtype, torch.float32) if dtype.is_floating_point else torch.float32


@functools.cache
def product_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """`dtype`, or float32 where this processor multiplies 16-bit numbers only in emulation (7 to 40 times slower)."""
    if device.type != "cpu" or dtype not in (torch.bfloat16, torch.float16):
        return dtype
    name = "_is_mkldnn_bf16_supported" if dtype == torch.bfloat16 else "_is_mkldnn_fp16_supported"
    supported = getattr(torch.ops.mkldnn, name, None)
    return dtype if supported is not None and supported() else torch.float32


FEW_TOKENS = 128
"""Up to so many rows, setting up a product in 16 bits takes a processor longer than the thin product itself."""


def thin_dtype(rows: Tensor) -> torch.dtype:
    """The precision of products with one side of `rank`, for an input of (tokens, in).

    >>> thin_dtype(torch.ones(64, 8, dtype=torch.bfloat16))
    torch.float32
    """
    if rows.shape[0] <= FEW_TOKENS and rows.device.type == "cpu":
        return master_dtype(rows.dtype)
    return product_dtype(rows.dtype, rows.device)


def as_rows(x: Tensor) -> Tensor:
    """(…, columns) → (tokens, columns), for no tokens at all too.

    >>> as_rows(torch.ones(2, 3, 4)).shape, as_rows(torch.ones(4)).shape, as_rows(torch.ones(0, 4)).shape
    (torch.Size([6, 4]), torch.Size([1, 4]), torch.Size([0, 4]))
    """
    return x if x.dim() == 2 else x.reshape(x.shape[:-1].numel(), x.shape[-1])


def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """`tensor.to(dtype)`, without the call where there is nothing to do: thousands of small layers make up a step."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


def base_product(x: Tensor, base: Any, bias: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """`y = W x + b` of shape (tokens, out), rounded exactly as the base rounds it alone, and the `W` that was used.

    An `nn.Linear` multiplies in the dtype of its input; a 4-bit base multiplies in `dtype`.
    """
    W = matrix(base, dtype if is_quantized(base) else x.dtype)
    return F.linear(cast(x, W.dtype), W, None if bias is None else cast(bias, W.dtype)), W


def add_product(y: Tensor, left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """`y += left @ right` in place, multiplied in `dtype`; without a temporary of y's size when that is y's own."""
    left, right = cast(left, dtype), cast(right, dtype)
    return y.addmm_(left, right) if y.dtype == dtype else y.add_(left @ right)


def differentiable_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """`once_differentiable` that costs nothing in a backward pass of which no graph is made, that is, in training."""
    guarded = once_differentiable(backward)

    @functools.wraps(backward)
    def chosen(ctx: Any, *gradients: Tensor) -> Any:
        return guarded(ctx, *gradients) if torch.is_grad_enabled() else backward(ctx, *gradients)

    return chosen

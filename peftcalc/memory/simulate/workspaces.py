"""Bytes that CUDA kernels allocate for themselves and free before they return: no trace of tensors shows them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def workspace_bytes(operator: Any, arguments: tuple, result: Any) -> int:
    """Bytes that the CUDA kernel of this operator holds beside its inputs and outputs; 0 where none are known.

    Args:
        operator: the overload that was dispatched (`torch.ops.aten.mm.default`).
        arguments: its positional arguments.
        result: what it returned.
    """
    rule = _RULES.get(getattr(getattr(operator, "overloadpacket", operator), "_qualified_op_name", ""))
    return rule(arguments, result) if rule else 0


def _flash_backward(arguments: tuple, result: Any) -> int:
    """The float32 sum of query gradients and the softmax's row sums; key and value gradients of all query heads.

    `4·B·H·S·D + 4·B·H·S`, with S rounded up to 128 and D to 32; and where heads share keys, `2·B·S·H·D` numbers more.
    (torch, aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, `mha_bwd`: dq_accum, softmax_d,
    dk_expanded, dv_expanded.)
    """
    query, key = arguments[1], arguments[2]
    batch, heads, sequence, width = query.shape
    rows, columns = -(-sequence // 128) * 128, -(-width // 32) * 32
    expanded = 2 * batch * key.shape[2] * heads * width * key.element_size() if key.shape[1] != heads else 0
    return 4 * batch * heads * rows * (columns + 1) + expanded


def _efficient_backward(arguments: tuple, result: Any) -> int:
    """The float32 sum of query gradients where the type has fewer bits, and delta: `4·B·H·S·(D + 1)`."""
    query = arguments[1]
    batch, heads, sequence, width = query.shape
    return 4 * batch * heads * sequence * (1 + (width if query.element_size() < 4 else 0))


def _softmax_backward(arguments: tuple, result: Any) -> int:
    """The product of gradient and output, in their type, as large as both.

    (torch, aten/src/ATen/native/cuda/SoftMax.cu, `softmax_backward_cuda_out`: `tmp = grad * output`.)
    """
    return arguments[0].numel() * max(arguments[0].element_size(), arguments[1].element_size())


def _four_bit_product(arguments: tuple, result: Any) -> int:
    """The dequantized weight: bitsandbytes multiplies with a copy in the input's type, unless there are few tokens.

    (bitsandbytes 0.50, backends/cuda/ops.py, `gemm_4bit`; earlier versions dequantize in Python, to the same effect.)
    """
    return math.prod(arguments[2]) * arguments[0].element_size()


def _eight_bit_product(arguments: tuple, result: Any) -> int:
    """The 32-bit sums of the product, before they are scaled (bitsandbytes 0.50, backends/default/ops.py)."""
    return 4 * result.numel()


_RULES: dict[str, Callable[[tuple, Any], int]] = {
    "aten::_scaled_dot_product_flash_attention_backward": _flash_backward,
    "aten::_scaled_dot_product_efficient_attention_backward": _efficient_backward,
    "aten::_softmax_backward_data": _softmax_backward,
    "bitsandbytes::gemm_4bit": _four_bit_product,
    "bitsandbytes::int8_scaled_mm": _eight_bit_product,
}

"""What CUDA would do where a CPU does otherwise: the attention kernel that is chosen, and autocast's float32 list.

Fake tensors live on the CPU here, for a build of torch without CUDA has no autograd for fake CUDA tensors. Two
decisions depend on the device and change memory; this mode takes them as CUDA does. A third is peft's, which asks torch
whether CUDA's autocast is on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from peftcalc.memory.kernels import attention_kernel
from peftcalc.memory.options import MemoryOptions

_HALF = (torch.bfloat16, torch.float16)

# fmt: off
_FLOAT32_NAMES = (
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "logsumexp", "rsqrt",
    "reciprocal", "sinh", "tan", "pow", "cumsum", "cumprod", "prod", "sum", "norm", "softmax", "log_softmax", "renorm",
    "dist",
)
_FLOAT32_FUNCTIONAL = (
    "layer_norm", "group_norm", "softmax", "log_softmax", "softplus", "softmin", "cosine_similarity",
    "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "binary_cross_entropy_with_logits",
)
# fmt: on


def _float32_functions() -> frozenset[Any]:
    """Functions and methods on CUDA autocast's float32 list (torch documentation, "Automatic Mixed Precision")."""
    found = [getattr(owner, name, None) for owner in (torch, torch.Tensor) for name in _FLOAT32_NAMES]
    found += [getattr(functional, name, None) for name in _FLOAT32_FUNCTIONAL]
    found += [torch.Tensor.__pow__, torch.layer_norm, torch.linalg.norm, torch.linalg.vector_norm]
    return frozenset(function for function in found if function is not None)


class CudaRules(TorchFunctionMode):
    """While active, attention and autocast decide as on a CUDA device.

    Args:
        options: of these `autocast`, `dtype`, `kernel`, `attention` and `card` are used.
    """

    def __init__(self, options: MemoryOptions) -> None:
        super().__init__()
        self.autocast = options.autocast
        self.card = options.chosen_card
        self.chosen = "flash" if options.kernel == "auto" and options.attention == "flash" else options.kernel
        self.dtype = getattr(torch, options.dtype)
        self.float32 = _float32_functions() if options.autocast else frozenset()
        self.kernels: set[str] = set()
        """Names of the attention kernels that were chosen."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if func is functional.dropout:
            return _dropout(*args, **kwargs)
        if func is functional.cross_entropy and torch.is_autocast_enabled("cpu"):
            return _cross_entropy(*args, **kwargs)
        if func is functional.softmax and _is_fused_softmax(args, kwargs):
            return torch.ops.aten._softmax.default(args[0], kwargs["dim"], True)
        if func in self.float32 and torch.is_autocast_enabled("cpu"):
            args = tuple(_as_float32(value) for value in args)
            kwargs = {name: _as_float32(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _attention(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        """The kernel of `peftcalc.memory.kernels`, or the one that was asked for."""
        if self.autocast and torch.is_autocast_enabled("cpu"):
            query, key, value, attn_mask = map(_as_autocast, (query, key, value, attn_mask))
        grouped, name = query.shape[1] != key.shape[1], str(query.dtype).removeprefix("torch.")
        kernel = self.chosen
        if kernel == "auto":
            width = query.shape[-1]
            kernel = attention_kernel(self.card, name, grouped, attn_mask is not None, width, value.shape[-1])
            refused = (grouped and not enable_gqa) or (attn_mask is not None and attn_mask.stride(-1) != 1)
            kernel = "math" if refused else kernel
        self.kernels.add(kernel)
        if kernel == "flash":
            if query.dtype not in _HALF:  # as transformers casts before the flash-attention package
                half = self.dtype if self.dtype in _HALF else torch.bfloat16
                query, key, value = query.to(half), key.to(half), value.to(half)
            return _flash(query, key, value, dropout_p, is_causal or attn_mask is not None, scale)
        if kernel == "math" and dropout_p > 0 and not is_causal:
            return _math_with_dropout(query, key, value, attn_mask, dropout_p, scale)
        if kernel == "math":
            operator = torch.ops.aten._scaled_dot_product_attention_math
            return operator(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)[0]
        if grouped:
            repeats = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
        return _efficient(query, key, value, attn_mask, dropout_p, is_causal, scale)


@contextlib.contextmanager
def cuda_autocast() -> Iterator[None]:
    """While open, autocast is on for CUDA where it is on for the CPU: peft asks without naming a device.

    (peft 0.21, tuners/lora/bnb.py: `requires_conversion = not torch.is_autocast_enabled()`, which means CUDA's.)
    """
    before, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", torch.is_autocast_enabled("cpu"))
    torch.set_autocast_dtype("cuda", torch.get_autocast_dtype("cpu"))
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before)
        torch.set_autocast_dtype("cuda", dtype)


@cache
def register_attention() -> str:
    """The name under which transformers knows its own sdpa attention with the mask that it makes outside of tracing.

    On fake tensors transformers always builds a mask, for it cannot look at the values; on real ones it leaves a causal
    mask to the kernel unless sequences are padded or longer than a sliding window.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def mask(*args: Any, attention_mask: Any = None, local_size: int | None = None, **kwargs: Any) -> Any:
        length = kwargs.get("kv_length") or args[2]
        if attention_mask is None and (local_size is None or length < local_size):
            return None
        return sdpa_mask(*args, attention_mask=attention_mask, local_size=local_size, **kwargs)

    name = "peftcalc_sdpa"
    AttentionInterface.register(name, sdpa_attention_forward)
    AttentionMaskInterface.register(name, mask)
    return name


@contextlib.contextmanager
def own_mask(settings: Any) -> Iterator[None]:
    """While open, a model that knows attention only as "sdpa" gets the mask of `register_attention` as well."""
    from transformers import AttentionMaskInterface

    known: Any = AttentionMaskInterface._global_mapping
    before = known["sdpa"]
    if settings._attn_implementation == "sdpa":
        known["sdpa"] = known[register_attention()]
    try:
        yield
    finally:
        known["sdpa"] = before


def _is_fused_softmax(values: tuple, choices: dict[str, Any]) -> bool:
    """CUDA reads float16 and writes float32 in one kernel, where a CPU, and bfloat16, copy the input first.

    (torch, aten/src/ATen/native/SoftMax.cpp, `softmax`.)
    """
    half = len(values) == 1 and values[0].dtype == torch.float16
    return half and "dim" in choices and choices.get("dtype") == torch.float32


def _dropout(values: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """CUDA's fused kernel keeps a mask of one byte a number; a CPU keeps a mask of the input's type.

    (torch, aten/src/ATen/native/Dropout.cpp, `is_fused_kernel_acceptable`.)
    """
    if not training or not 0 < p < 1:
        return functional.dropout(values, p, training, inplace)
    return torch.native_dropout(values, p, True)[0]


def _cross_entropy(
    values: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Under CUDA's autocast: log-probabilities in the logits' own type, and a float32 copy of them that the loss keeps.

    Autocast leaves cross-entropy alone; it asks for log-probabilities of its input's type by name, which autocast
    heeds, and then for the negative log-likelihood, which is on the float32 list. (torch,
    aten/src/ATen/native/LossNLL.cpp, `cross_entropy_loss`; aten/src/ATen/autocast_mode.h.)
    """
    if values.dtype not in _HALF or target.is_floating_point() or label_smoothing:
        return functional.cross_entropy(
            values, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing
        )
    logs = torch.ops.aten._log_softmax.default(values, 0 if values.dim() == 1 else 1, False)
    return functional.nll_loss(logs.float(), target, weight, size_average, ignore_index, reduce, reduction)


def _math_with_dropout(
    query: Any, key: Any, value: Any, mask: Any, dropout: float, scale: float | None
) -> torch.Tensor:
    """The MATH kernel in float32, with CUDA's dropout, whose mask is one byte a number.

    (torch, aten/src/ATen/native/transformers/attention.cpp, `_scaled_dot_product_attention_math`.)
    """
    dtype = query.dtype
    root = (query.shape[-1] ** -0.5 if scale is None else scale) ** 0.5
    repeats = query.shape[1] // key.shape[1]
    with torch.autocast("cpu", enabled=False):
        query, key, value = query.float(), key.float(), value.float()
        if repeats > 1:
            key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
        scores = (query * root) @ (key.transpose(-2, -1) * root)
        if mask is not None:
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=dtype).masked_fill_(mask.logical_not(), float("-inf"))
            scores = scores.add_(mask)
        kept = torch.native_dropout(torch.ops.aten._safe_softmax(scores, -1), dropout, True)[0]
        answer, _ = (kept @ value).to(dtype), kept.to(dtype)
        return answer


def _flash(query: Any, key: Any, value: Any, dropout: float, causal: bool, scale: float | None) -> torch.Tensor:
    """The flash kernel on heads padded to a multiple of 8, as torch pads them."""
    width = query.shape[-1]
    missing = -width % 8
    if missing:
        query, key, value = (functional.pad(tensor, (0, missing)) for tensor in (query, key, value))
        scale = scale if scale is not None else width**-0.5
    operator = torch.ops.aten._scaled_dot_product_flash_attention
    return operator(query, key, value, dropout, causal, False, scale=scale)[0][..., :width]


def _efficient(
    query: Any, key: Any, value: Any, mask: Any, dropout: float, causal: bool, scale: float | None
) -> torch.Tensor:
    """The memory-efficient kernel; a boolean mask becomes an additive one of the query's type, padded to rows of 16."""
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), float("-inf"))
        missing = -mask.shape[-1] % 16
        if missing:
            mask = functional.pad(mask, (0, missing))[..., : mask.shape[-1]]
        mask = mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    operator = torch.ops.aten._scaled_dot_product_efficient_attention
    return operator(query, key, value, mask, True, dropout, causal, scale=scale)[0]


def _as_autocast(value: Any) -> Any:
    """An additive mask is cast like queries, keys and values (torch, aten/src/ATen/autocast_mode.h, `cached_cast`)."""
    is_float32 = isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return value.to(torch.get_autocast_dtype("cpu")) if is_float32 else value


def _as_float32(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _HALF else value

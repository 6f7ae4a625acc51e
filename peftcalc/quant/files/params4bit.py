"""A `Quantized` as bitsandbytes' own parameter, and back, bit for bit."""

from __future__ import annotations

from typing import Any

import torch

from peftcalc.lazy import explained
from peftcalc.quant.files.bitsandbytes_layout import from_tensors, to_tensors
from peftcalc.quant.quantized import Quantized


def to_params4bit(quantized: Quantized) -> Any:
    """`quantized` as a `bitsandbytes.nn.Params4bit`; see `Quantized.to_bitsandbytes`."""
    with explained("Quantized.to_bitsandbytes"):
        from bitsandbytes.nn.modules import Params4bit

    tensors = to_tensors(quantized)
    codes = tensors.pop("weight")
    state = {name.removeprefix("weight."): tensor for name, tensor in tensors.items()}
    return Params4bit.from_prequantized(codes, state, device=str(codes.device))


def from_params4bit(weight: Any) -> Quantized:
    """A `bitsandbytes.nn.Params4bit` as a `Quantized`; see `Quantized.from_bitsandbytes`."""
    state = getattr(weight, "quant_state", None)
    if state is None:
        raise ValueError(
            "weight must be a Params4bit that has been quantized (bitsandbytes does so when it is moved to a device), "
            f"got {type(weight).__name__}"
        )
    if getattr(state, "packing_format_for_cpu", False):
        raise ValueError(
            "weight has been repacked for bitsandbytes' CPU kernel by a call in eval mode; take the layer's "
            "state_dict(), which undoes that, first"
        )
    tensors = {f"weight.{name}": tensor for name, tensor in state.as_dict(packed=True).items()}
    codes = weight.data if isinstance(weight, torch.Tensor) else weight
    return from_tensors({"weight": torch.as_tensor(codes), **tensors})

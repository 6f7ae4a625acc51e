"""bitsandbytes as the oracle of four bits, the same on every processor."""

from __future__ import annotations

from typing import Any

import torch


def quantized(x: torch.Tensor, **options: Any) -> tuple[torch.Tensor, Any, torch.Tensor]:
    """The codes, the state and the dequantized values, in the shape of `x`, by `bitsandbytes.functional`.

    The numbers go in as one row. bitsandbytes' blocks run on across rows, but its kernel for processors with AVX-512
    starts a block with every row when a row's length is a multiple of 16, so that rows that are no multiple of the
    block are read with the wrong scales there (0.50, csrc/cpu_ops.cpp; its other backends do not). One row is read
    alike by all.
    """
    import bitsandbytes.functional as bnb

    codes, state = bnb.quantize_4bit(x.reshape(-1), **options)
    return codes.view(-1), state, bnb.dequantize_4bit(codes, state).view(x.shape)

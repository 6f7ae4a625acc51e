"""What every adapted layer has in common: a frozen base, a low-rank update, and weights to read, merge and unmerge."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from peftcalc.adapters.layers.frozen_weight import is_transposed, master_dtype, matrix, stored


class AdaptedLayer(nn.Module):
    """A frozen `base` layer with a trained update `s · B A` of its weight beside it.

    Args:
        base: the layer to adapt; it is used as it is, and frozen by `attach`.
        rank: r of the update.
        alpha: α; the update is scaled by s = α / r, or α / √r when `rslora`.
        dropout: probability with which entries of the adapter's input are zeroed in training.
    """

    base: Any
    """`nn.Linear`, `Conv1D`, `QuantizedLinear`, `nn.Embedding`, a convolution, or what `experts` adapts."""
    merged_base: Any
    """While merged, a layer like the base whose weight contains the update; otherwise None."""
    A: nn.Parameter
    B: nn.Parameter

    def __init__(
        self, base: nn.Module, rank: int = 8, alpha: float = 16, dropout: float = 0.0, rslora: bool = False
    ) -> None:
        super().__init__()
        self.base = base
        self.merged_base = None
        self.rank = rank
        self.scale = alpha / (math.sqrt(rank) if rslora else rank)
        self.dropout = dropout

    def adapter(self) -> dict[str, nn.Parameter]:
        """The trained tensors of this layer, by their names in the PEFT file format."""
        return {"lora_A.weight": self.A, "lora_B.weight": self.B}

    def factors(self) -> tuple[Tensor, Tensor]:
        """A, (rank, in), and B, (out, rank), as matrices."""
        return self.A, self.B

    def effective_weight(self) -> Tensor:
        """`W + s · B A`, (out, in): what this layer multiplies with; differentiable, in the adapter's precision."""
        A, B = self.factors()
        return torch.addmm(matrix(self.base, A.dtype), B, A, alpha=self.scale)

    def effective_bias(self) -> Tensor | None:
        """The bias that this layer adds."""
        return getattr(self.base, "bias", None)

    def weight_before(self) -> Tensor:
        """The frozen weight, float32, `(out, in)`; dequantized if it is stored in 4 bits."""
        return matrix(self.base).float()

    def weight_now(self) -> Tensor:
        """The weight with the update, float32, `(out, in)`."""
        with torch.no_grad():
            return matrix(self.merged_base).float() if self.merged_base is not None else self.effective_weight().float()

    @property
    def weight(self) -> Tensor:
        """The weight that code sees which reads a layer's weight instead of calling it (`nn.MultiheadAttention`)."""
        return self.merged_base.weight if self.merged_base is not None else self._as_stored(self.effective_weight())

    @property
    def bias(self) -> Tensor | None:
        """See `weight`."""
        return self.merged_base.bias if self.merged_base is not None else self.effective_bias()

    def merge(self) -> None:
        """Compute from now on with one weight that contains the update; the base stays aside, so `unmerge` is exact."""
        if self.merged_base is not None:
            return
        if stored(self.base).is_meta:
            raise ValueError("the base's weight is on the meta device, so nothing can be merged into it")
        with torch.no_grad():
            weight, bias = self.effective_weight(), self.effective_bias()
        if not torch.isfinite(weight).all():
            raise ValueError("the merged weight is not finite (NaN or infinity); nothing was merged")
        if bias is not None and self.base.bias is None:
            raise ValueError("lora_bias cannot be merged into a layer that has no bias")
        self.merged_base = self._with_weight(weight, bias)

    def unmerge(self) -> None:
        """Compute with base and adapter apart again."""
        self.merged_base = None

    def _with_weight(self, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """A layer like the base, with this weight, `(out, in)`, and bias."""
        if hasattr(self.base, "with_weight"):
            return self.base.with_weight(weight, bias)
        layer = shallow(self.base)
        layer.weight = nn.Parameter(self._as_stored(weight), requires_grad=False)
        if bias is not None:
            layer.bias = nn.Parameter(bias.to(self.base.bias.dtype), requires_grad=False)
        return layer

    def _as_stored(self, weight: Tensor) -> Tensor:
        """`weight`, `(out, in)`, in the base's orientation, shape and dtype."""
        weight = weight.T.contiguous() if is_transposed(self.base) else weight
        return (
            weight.to(self.base.dtype)
            if hasattr(self.base, "dequantize")
            else weight.view_as(self.base.weight).to(self.base.weight.dtype)
        )

    def extra_repr(self) -> str:
        return f"rank={self.rank}, scale={self.scale:g}, dropout={self.dropout:g}"


def shallow(module: Any) -> Any:
    """A module with the same parts, whose parts can be replaced without replacing those of `module`."""
    twin = copy.copy(module)
    for own in ("_parameters", "_buffers", "_modules"):
        setattr(twin, own, dict(getattr(module, own)))
    return twin


def adapter_parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    """A trained tensor on the device of `like`: rounded once to its dtype, as peft does, and kept in float32 or
    better."""
    values = values.detach().to(like.device)
    if like.dtype.is_floating_point:
        values = values.to(like.dtype).to(master_dtype(like.dtype))
    return nn.Parameter(values)

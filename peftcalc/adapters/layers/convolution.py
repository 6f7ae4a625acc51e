"""LoRA and DoRA for a convolution over one, two or three dimensions: a convolution to `rank` channels, then one with a
kernel of 1 back to the base's channels."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftcalc.adapters.layers.base import AdaptedLayer, Options, adapter_parameter
from peftcalc.adapters.layers.dora import SMALLEST_NORM, Magnitude

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_KINDS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class LoRAConvolution(AdaptedLayer):
    """`y = W ∗ x + b + s · B ∗ A ∗ dropout(x)`, with A like the base but to `rank` channels, and B with a kernel of 1.

    A has shape (rank, in, kᵈ), B (out, rank / groups, 1ᵈ) over d dimensions; stride, padding and dilation are the
    base's. A sees all channels even where the base has groups, so that the update of such a base is no weight of its
    shape, and cannot be merged. Trained parameters: rank · (in · kᵈ + out / groups). Arguments as for `LoRALinear`.

    Raises:
        ValueError: the rank is not divisible by the base's groups.

    >>> base, x = nn.Conv1d(3, 4, 3), torch.ones(1, 3, 5)
    >>> torch.equal(LoRAConvolution(base, rank=2)(x), base(x))
    True
    """

    def __init__(self, base: Convolution, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        rank = self.rank
        if rank % base.groups:
            raise ValueError(f"rank must be divisible by the convolution's {base.groups} groups, got {rank}")
        shape: dict[str, Any] = {
            "kernel_size": base.kernel_size,
            "stride": base.stride,
            "padding": base.padding,
            "dilation": base.dilation,
        }
        kind: Any = _KINDS[base.weight.dim() - 2]
        self.down = kind(base.in_channels, rank, **shape, bias=False, padding_mode=base.padding_mode)
        self.up = kind(rank, base.out_channels, 1, groups=base.groups, bias=self.with_lora_bias)
        self.down.weight, self.up.weight = self.started(self.down.weight, self.up.weight, None)
        if self.up.bias is not None:
            self.up.bias = adapter_parameter(torch.zeros_like(self.up.bias), base.weight)

    def adapter(self) -> dict[str, nn.Parameter]:
        tensors = {"lora_A.weight": self.down.weight, "lora_B.weight": self.up.weight, "lora_B.bias": self.up.bias}
        return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, nn.Parameter)}

    def factors(self) -> tuple[Tensor, Tensor]:
        return self.down.weight.flatten(1), self.up.weight.flatten(1)  # (rank, in · kᵈ), (out, rank / groups)

    def effective_weight(self) -> Tensor:
        if self.base.groups > 1:
            raise ValueError(
                f"the update of a convolution with {self.base.groups} groups is not a weight of its shape and cannot "
                "be merged; peft refuses it too"
            )
        return super().effective_weight()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, …) → (batch, out, …)"""
        if self.merged_base is not None:
            return self.merged_base(x)
        y = self.base(x)
        return (y + self.update(F.dropout(x, self.dropout, self.training))).to(y.dtype)

    def update(self, x: Tensor) -> Tensor:
        """`s · (B ∗ A ∗ x + b_B)`"""
        return self.up(self.down(x.to(self.down.weight.dtype))) * self.scale


class DoRAConvolution(Magnitude, LoRAConvolution):
    """`y = m/n ∘ (W ∗ x + s · B ∗ A ∗ x) + b`, with a magnitude for each output channel. Arguments as for
    `LoRAConvolution`."""

    def __init__(self, base: Convolution, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        self.start_magnitude()

    def start_magnitude(self) -> None:
        """In the shape in which peft stores it, (1, out, 1ᵈ)."""
        self.magnitude = nn.Parameter(self._by_channel(self.norm()))

    @torch.no_grad()
    def norm(self) -> Tensor:
        """With groups, `W + s · B A` has no shape. peft reads B as (out / groups, rank) and the product as (out, …); an
        adapter that was trained with those norms means them, so they are the norms here too."""
        if self.base.groups == 1:
            return super().norm()
        A, B = self.factors()
        update = B.reshape(-1, self.rank) @ A
        return (
            (self.base.weight + self.scale * update.view_as(self.base.weight))
            .flatten(1)
            .norm(dim=1)
            .clamp_min(SMALLEST_NORM)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, …) → (batch, out, …)"""
        if self.merged_base is not None:
            return self.merged_base(x)
        y = self.base(x)
        dropped = F.dropout(x, self.dropout, self.training)
        product = self.base._conv_forward(dropped, self.base.weight, None)
        ratio = self.magnitude / self._by_channel(self.norm())
        return (y + (ratio - 1) * product + ratio * self.update(dropped)).to(y.dtype)

    def _by_channel(self, norm: Tensor) -> Tensor:
        """(out,) → (1, out, 1ᵈ)"""
        return norm.view(1, -1, *(1,) * (self.base.weight.dim() - 2))

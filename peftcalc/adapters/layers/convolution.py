"""LoRA and DoRA for a 2-D convolution: a convolution to `rank` channels, then one of 1 × 1 back to the base's
channels."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftcalc.adapters.layers.base import AdaptedLayer, Options, adapter_parameter
from peftcalc.adapters.layers.dora import Magnitude


class LoRAConv2d(AdaptedLayer):
    """`y = W ∗ x + b + s · B ∗ A ∗ dropout(x)`, with A like the base but to `rank` channels, and B of 1 × 1.

    A has shape (rank, in, k, k), B (out, rank, 1, 1); stride, padding and dilation are the base's. Trained parameters:
    rank · (in · k² + out). Arguments as for `LoRALinear`.

    Raises:
        ValueError: the rank is not divisible by the base's groups.

    >>> base, x = nn.Conv2d(3, 4, 3), torch.ones(1, 3, 5, 5)
    >>> torch.equal(LoRAConv2d(base, rank=2)(x), base(x))
    True
    """

    def __init__(self, base: nn.Conv2d, **options: Unpack[Options]) -> None:
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
        self.down = nn.Conv2d(base.in_channels, rank, **shape, bias=False, padding_mode=base.padding_mode)
        self.up = nn.Conv2d(rank, base.out_channels, 1, groups=base.groups, bias=self.with_lora_bias)
        self.down.weight, self.up.weight = self.started(self.down.weight, self.up.weight, None)
        if self.up.bias is not None:
            self.up.bias = adapter_parameter(torch.zeros_like(self.up.bias), base.weight)

    def adapter(self) -> dict[str, nn.Parameter]:
        tensors = {"lora_A.weight": self.down.weight, "lora_B.weight": self.up.weight, "lora_B.bias": self.up.bias}
        return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, nn.Parameter)}

    def factors(self) -> tuple[Tensor, Tensor]:
        if self.base.groups > 1:
            raise ValueError(f"the update of a convolution with {self.base.groups} groups is not a matrix product B A")
        return self.down.weight.flatten(1), self.up.weight.flatten(1)  # (rank, in · k²), (out, rank)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, height, width) → (batch, out, height', width')"""
        if self.merged_base is not None:
            return self.merged_base(x)
        y = self.base(x)
        return (y + self.update(F.dropout(x, self.dropout, self.training))).to(y.dtype)

    def update(self, x: Tensor) -> Tensor:
        """`s · (B ∗ A ∗ x + b_B)`"""
        return self.up(self.down(x.to(self.down.weight.dtype))) * self.scale


class DoRAConv2d(Magnitude, LoRAConv2d):
    """`y = m/n ∘ (W ∗ x + s · B ∗ A ∗ x) + b`, with a magnitude for each output channel. Arguments as for
    `LoRAConv2d`."""

    def __init__(self, base: nn.Conv2d, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        self.start_magnitude()

    def start_magnitude(self) -> None:
        """In the shape in which peft stores it, (1, out, 1, 1)."""
        self.magnitude = nn.Parameter(self.norm().view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, height, width) → (batch, out, height', width')"""
        if self.merged_base is not None:
            return self.merged_base(x)
        y = self.base(x)
        dropped = F.dropout(x, self.dropout, self.training)
        product = self.base._conv_forward(dropped, self.base.weight, None)
        ratio = self.magnitude / self.norm().view(1, -1, 1, 1)
        return (y + (ratio - 1) * product + ratio * self.update(dropped)).to(y.dtype)

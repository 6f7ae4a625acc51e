"""LoRA for `nn.MultiheadAttention`, which multiplies with its weights itself: both of its projections are adapted.

In: query, key and value at once, (d → 3d). Out: (d → d). The module is called with other weights in their places, so
that nothing in it changes.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import torch
from torch import Tensor, nn
from torch.func import functional_call

from peftcalc.adapters.layers.base import AdaptedLayer, Options, adapter_parameter, shallow
from peftcalc.methods.starts import changes_base


class Projection(NamedTuple):
    """What code reads of a layer that it does not call."""

    weight: Tensor
    bias: Tensor | None


class LoRAAttention(AdaptedLayer):
    """`W_in + s · B A` and `W_out + 2s · B' A'` in place of the attention's own weights.

    The update of the output projection counts twice, and once in the gradient. That is what peft 0.21 computes: its
    layer for this module merges it, and so does its layer for the projection inside. Whoever trained an adapter there
    trained that one. Dropout is left out, as in peft. Trained parameters: rank · 4d + rank · 2d, with `lora_bias`
    4d more, of which those of the input projection do nothing and the others get no gradient, as in peft.

    Raises:
        ValueError: query, key and value differ in width, or the start reads one weight and would find two.

    >>> base, x = nn.MultiheadAttention(8, 2), torch.ones(3, 1, 8)
    >>> torch.equal(LoRAAttention(base, rank=2)(x, x, x)[0], base(x, x, x)[0])
    True
    """

    def __init__(self, base: nn.MultiheadAttention, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        if changes_base(self.init):
            raise ValueError(f"init={self.init!r} does not exist for an nn.MultiheadAttention; peft refuses it too")
        if base.in_proj_weight is None:
            raise ValueError("nn.MultiheadAttention is adapted only where query, key and value have the same width")
        width, weight = base.embed_dim, base.in_proj_weight
        self._pair(width, weight)  # drawn and thrown away by peft
        self.A, self.B, self.lora_bias = self._pair(3 * width, weight)
        self.out_A, self.out_B, self.out_bias = self._pair(width, weight)

    def _pair(self, n_out: int, W: Tensor) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter | None]:
        """A and B of one projection, drawn in peft's order, and B's own bias."""
        down = nn.Linear(self.base.embed_dim, self.rank, bias=False)
        up = nn.Linear(self.rank, n_out, bias=self.with_lora_bias)
        A, B, _ = self.begin(down.weight, up.weight, W.detach)
        bias = adapter_parameter(torch.zeros_like(up.bias), W) if self.with_lora_bias else None
        return *self.factor_parameters(A, B, W), bias

    def adapter(self) -> dict[str, nn.Parameter]:
        inside = "base_layer.out_proj."
        tensors = {
            **super().adapter(),
            "lora_B.bias": self.lora_bias,
            inside + "lora_A.weight": self.out_A,
            inside + "lora_B.weight": self.out_B,
            inside + "lora_B.bias": self.out_bias,
        }
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    def effective_weight(self) -> Tensor:
        """Of the input projection, (3d, d)."""
        return torch.addmm(self.base.in_proj_weight.detach().to(self.A.dtype), self.B, self.A, alpha=self.scale)

    def effective_bias(self) -> None:
        """B's bias of the input projection does nothing, and an attention has no `bias` that code could read."""

    def out_projection(self) -> Projection:
        """Weight, (d, d), and bias of the output projection."""
        own = self.base.out_proj
        update = self.scale * self.out_B @ self.out_A
        weight = (own.weight.detach() + update + update.detach()).to(own.weight.dtype)
        if self.out_bias is None or own.bias is None:
            return Projection(weight, own.bias)
        return Projection(weight, own.bias + (self.scale * self.out_bias).detach().to(own.bias.dtype))

    def weight_before(self) -> Tensor:
        """Of the input projection, (3d, d), float32."""
        return self.base.in_proj_weight.detach().float()

    def weight_now(self) -> Tensor:
        """Of the input projection, (3d, d), float32."""
        if self.merged_base is not None:
            return self.merged_base.in_proj_weight.detach().float()
        return self.effective_weight().detach().float()

    @property
    def in_proj_weight(self) -> Tensor:
        """The weight that code sees which reads it (the fast path of `nn.TransformerEncoderLayer`)."""
        if self.merged_base is not None:
            return self.merged_base.in_proj_weight
        return self.effective_weight().to(self.base.in_proj_weight.dtype)

    @property
    def out_proj(self) -> Any:
        """See `in_proj_weight`."""
        return self.merged_base.out_proj if self.merged_base is not None else self.out_projection()

    def __getattr__(self, name: str) -> Any:
        """What else code reads of an attention (`num_heads`, `batch_first`, …) is the base's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base":
                raise
            return getattr(self.base, name)

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """As `nn.MultiheadAttention`."""
        if self.merged_base is not None:
            return self.merged_base(*arguments, **named)
        weight, bias = self.out_projection()
        places = {"in_proj_weight": self.in_proj_weight, "out_proj.weight": weight}
        if bias is not None:
            places["out_proj.bias"] = bias
        return functional_call(self.base, places, arguments, named)

    def merge(self) -> None:
        """See `AdaptedLayer`."""
        if self.merged_base is not None:
            return
        with torch.no_grad():
            within, (out, bias) = self.in_proj_weight, self.out_projection()
        if not (torch.isfinite(within).all() and torch.isfinite(out).all()):
            raise ValueError("the merged weight is not finite (NaN or infinity); nothing was merged")
        module = shallow(self.base)
        module.in_proj_weight = nn.Parameter(within, requires_grad=False)
        module.out_proj = shallow(self.base.out_proj)
        module.out_proj.weight = nn.Parameter(out, requires_grad=False)
        if bias is not None:
            module.out_proj.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.merged_base = module

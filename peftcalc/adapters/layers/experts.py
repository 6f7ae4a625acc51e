"""LoRA for a bare `nn.Parameter`: a stack of experts, or the weight of a router, which no layer of its own multiplies.

The module that owns the parameter is called with `W + s · B A` in its place, as peft's `target_parameters` do it. That
sum is formed anew in every forward pass, a copy of the whole stack; there is no product to which the update could be
added afterwards.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from peftcalc.adapters.layers.base import AdaptedLayer, adapter_parameter, shallow

_OWN = {"A", "B", "base", "merged_base", "parameter", "experts", "transposed"}


class AdaptedParameter(AdaptedLayer):
    """`W_e + s · B_e A_e` for each expert e of a stack (E, out, in), or for one matrix (out, in).

    A stack is stored as (E, in, out) where its module says `is_transposed`. A has shape (E · rank, in), expert by
    expert; B (out, rank · E), with the experts last: peft's layout. Trained parameters: E · rank · (in + out).

    Args:
        base: the module that owns the parameter, or the adapted layer of another of its parameters.
        parameter: its name in that module.
        rank, alpha, rslora: as for `LoRALinear`.

    >>> base, x = nn.Linear(3, 2), torch.ones(1, 3)
    >>> torch.equal(AdaptedParameter(base, "weight", rank=2)(x), base(x))
    True
    """

    def __init__(self, base: nn.Module, parameter: str, rank: int = 8, alpha: float = 16, rslora: bool = False) -> None:
        super().__init__(base, rank, alpha, 0.0, rslora)
        self.parameter = parameter
        W = self.parameter_before()
        self.experts = W.shape[0] if W.dim() == 3 else 1
        self.transposed = W.dim() == 3 and bool(getattr(self.owner, "is_transposed", False))
        n_out, n_in = W.shape[-2:] if not self.transposed else (W.shape[2], W.shape[1])
        down, up = nn.Linear(n_in, rank * self.experts, bias=False), nn.Linear(rank * self.experts, n_out, bias=False)
        nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        self.A = adapter_parameter(down.weight, W)
        self.B = adapter_parameter(torch.zeros_like(up.weight), W)

    @property
    def owner(self) -> Any:
        """The module that owns the parameter."""
        return self.base.owner if isinstance(self.base, AdaptedParameter) else self.base

    def parameter_before(self) -> Tensor:
        """`W` as it is stored."""
        return getattr(self.owner, self.parameter)

    def parameter_now(self) -> Tensor:
        """`W + s · B A` in the stored shape and type; differentiable."""
        W = self.parameter_before()
        A = self.A.reshape(self.experts, self.rank, -1).to(W.dtype)  # (E, rank, in)
        B = self.B.reshape(-1, self.rank, self.experts).permute(2, 0, 1).to(W.dtype)  # (E, out, rank)
        stack = W if W.dim() == 3 else W.unsqueeze(0)
        left, right = (A.mT, B.mT) if self.transposed else (B, A)
        with torch.autocast(W.device.type, enabled=False):
            return torch.baddbmm(stack, left, right, alpha=self.scale).view_as(W)

    def effective_weight(self) -> Tensor:
        """All experts' rows below each other, (E · out, in)."""
        return self._rows(self.parameter_now())

    def weight_before(self) -> Tensor:
        return self._rows(self.parameter_before().detach()).float()

    def weight_now(self) -> Tensor:
        with torch.no_grad():
            merged = self.merged_base
            return self._rows(self.parameter_now() if merged is None else getattr(merged, self.parameter)).float()

    def _rows(self, W: Tensor) -> Tensor:
        return (W.mT if self.transposed else W).flatten(0, -2)

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """As the module that owns the parameter."""
        module, places = self, {}
        while isinstance(module, AdaptedParameter):
            if module.merged_base is not None:
                module = module.merged_base
                break
            places[module.parameter] = module.parameter_now()
            module = module.base
        return functional_call(module, places, arguments, named) if places else module(*arguments, **named)

    @property
    def weight(self) -> Tensor:
        """Of a router or a layer: a parameter of this name like any other."""
        return self.__getattr__("weight")

    def __getattr__(self, name: str) -> Any:
        """What code reads of the module that owns the parameter is that module's, the adapted parameters included."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in _OWN:
                raise
        if name == self.parameter:
            return self.parameter_now() if self.merged_base is None else getattr(self.merged_base, name)
        return getattr(self.base, name)

    def merge(self) -> None:
        """See `AdaptedLayer`; the other parameters of the module are merged with this one."""
        if self.merged_base is not None:
            return
        module = self.base
        if isinstance(module, AdaptedParameter):
            module.merge()
            module = module.merged_base
        with torch.no_grad():
            weight = self.parameter_now()
        if not torch.isfinite(weight).all():
            raise ValueError(f"the merged {self.parameter} is not finite (NaN or infinity); nothing was merged")
        merged = shallow(module)
        setattr(merged, self.parameter, nn.Parameter(weight, requires_grad=False))
        self.merged_base = merged

    def extra_repr(self) -> str:
        return f"parameter={self.parameter}, experts={self.experts}, {super().extra_repr()}"

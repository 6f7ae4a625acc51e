"""LoRA for a bare `nn.Parameter`: a stack of experts, or the weight of a router, which no layer of its own multiplies.

The module that owns the parameter is called with `W + s · B A` in its place, as peft's `target_parameters` do it. That
sum is formed anew in every forward pass, a copy of the whole stack; there is no product to which the update could be
added afterwards.
"""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.func import functional_call

from peftcalc.adapters.layers.base import AdaptedLayer, Options, shallow
from peftcalc.adapters.layers.frozen_weight import master_dtype
from peftcalc.methods.starts import changes_base

_OWN = {"A", "B", "base", "merged_base", "parameter", "experts", "transposed"}


class AdaptedParameter(AdaptedLayer):
    """`W_e + s · B_e A_e` for each expert e of a stack (E, out, in), or for one matrix (out, in).

    A stack is stored as (E, in, out) where its module says `is_transposed`. A has shape (E · rank, in), expert by
    expert; B (out, rank · E), with the experts last: peft's layout. Trained parameters: E · rank · (in + out).

    Args:
        base: the module that owns the parameter, or the adapted layer of another of its parameters.
        parameter: its name in that module.
        options: as for `AdaptedLayer`; `attach` refuses what peft refuses for a parameter (`dropout`, `lora_bias`).

    >>> base, x = nn.Linear(3, 2), torch.ones(1, 3)
    >>> torch.equal(AdaptedParameter(base, "weight", rank=2)(x), base(x))
    True
    """

    def __init__(self, base: nn.Module, parameter: str, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        self.parameter = parameter
        W = self.parameter_before()
        self.experts = W.shape[0] if W.dim() == 3 else 1
        self.transposed = W.dim() == 3 and bool(getattr(self.owner, "is_transposed", False))
        n_out, n_in = W.shape[-2:] if not self.transposed else (W.shape[2], W.shape[1])
        if changes_base(self.init) and W.dim() != 2:
            raise ValueError(f"init={self.init!r} reads one matrix, and {parameter} is a stack; peft refuses it too")
        ranks = self.rank * self.experts
        down, up = nn.Linear(n_in, ranks, bias=False), nn.Linear(ranks, n_out, bias=False)
        A, B, rest = self.begin(down.weight, up.weight, lambda: W.detach().to(master_dtype(W.dtype)))
        if rest is not None:
            self.base = _with_parameter(base, parameter, rest.to(W.dtype))
        self.A, self.B = self.factor_parameters(A, B, W)

    @property
    def owner(self) -> Any:
        """The module that owns the parameter."""
        return _owner(self.base)

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
        return self._rows(getattr(_owner(self.pretrained), self.parameter).detach()).float()

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
        self.merged_base = _with_parameter(module, self.parameter, weight)

    def extra_repr(self) -> str:
        return f"parameter={self.parameter}, experts={self.experts}, {super().extra_repr()}"


def _owner(module: Any) -> Any:
    """The module itself, below the adapters of other parameters of it."""
    while isinstance(module, AdaptedParameter):
        module = module.base
    return module


def _with_parameter(module: nn.Module, name: str, values: Tensor) -> nn.Module:
    """A module like this one, with another parameter of this name."""
    twin = shallow(module)
    setattr(twin, name, nn.Parameter(values, requires_grad=False))
    return twin

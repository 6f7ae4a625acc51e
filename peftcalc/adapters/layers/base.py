"""What every adapted layer has in common: a frozen base, a low-rank update, and weights to read, merge and unmerge."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable
from types import MethodType
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from peftcalc.adapters.layers.frozen_weight import is_quantized, is_transposed, master_dtype, matrix, stored
from peftcalc.adapters.layers.starts import fill_beside_rounding, fill_start
from peftcalc.methods.starts import changes_base, rounds, start_rank
from peftcalc.quant.blockwise import dequantize_4bit, quantize_4bit


class Options(TypedDict, total=False):
    """The options of every adapted layer, with the defaults and the meaning that `AdaptedLayer` gives them."""

    rank: int
    alpha: float
    dropout: float
    rslora: bool
    lora_bias: bool
    init: str
    freeze_a: bool
    floats: nn.Module | None


class AdaptedLayer(nn.Module):
    """A frozen `base` layer with a trained update `s · B A` of its weight beside it.

    Args:
        base: the layer to adapt; it is used as it is, and frozen by `attach`. A start that takes its update out of the
            weight works on another weight and shares the bias; this layer is left as it was.
        rank: r of the update.
        alpha: α; the update is scaled by s = α / r, or α / √r when `rslora`.
        dropout: probability with which entries of the adapter's input are zeroed in training.
        lora_bias: train a bias on `B`, which is scaled by s too.
        init: how A and B start, see `peftcalc.adapters.layers.starts`.
        freeze_a: leave A at its start and train B alone.
        floats: what a base in 4 bits was before, for a start that reads its weight.
    """

    base: Any
    """`nn.Linear`, `Conv1D`, `QuantizedLinear`, `nn.Embedding`, a convolution, or what `experts` adapts."""
    pretrained: Any
    """The layer that was given: `base`, unless the start has changed that. It is no submodule."""
    merged_base: Any
    """While merged, a layer like the base whose weight contains the update; otherwise None."""
    A: nn.Parameter
    B: nn.Parameter

    def __init__(
        self,
        base: nn.Module,
        rank: int = 8,
        alpha: float = 16,
        dropout: float = 0.0,
        rslora: bool = False,
        lora_bias: bool = False,
        init: str = "default",
        freeze_a: bool = False,
        floats: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.base = base
        object.__setattr__(self, "pretrained", base)
        self.merged_base = None
        self.rank = rank
        self.scale = alpha / (math.sqrt(rank) if rslora else rank)
        self.dropout = dropout
        self.with_lora_bias = lora_bias
        self.init = init
        self.freeze_a = freeze_a

    def started(self, A: Tensor, B: Tensor, floats: nn.Module | None) -> tuple[nn.Parameter, nn.Parameter]:
        """A and B as they start; `s · B A` is taken out of the base's weight where the start says so.

        Raises:
            ValueError: the start reads a weight that 4 bits have already rounded, or does not fit the layer.
        """
        source: Any = self.base if floats is None else floats

        def weight() -> Tensor:
            if is_quantized(source):
                raise ValueError(
                    f"init={self.init!r} reads the weight in floats, and this base is stored in 4 bits already; "
                    "attach this adapter first"
                )
            return matrix(source, master_dtype(source.weight.dtype))

        A, B, rest = self.begin(A, B, weight)
        if rest is not None:
            self.base = with_weight(self.base, rest.to(source.weight.dtype), self.base.bias)
        return self.factor_parameters(A, B, source.weight if floats is not None else stored(self.base))

    def begin(self, A: Tensor, B: Tensor, weight: Callable[[], Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        """A and B as they start, and what the base is to hold where the start changes it: `W − s · B A`, or `W` in 4
        bits."""
        if not changes_base(self.init):
            fill_start(self.init, A, B, weight, self.scale, self.rank)
            return A, B, None
        rank = self.rank = start_rank(self.init, self.rank, (B.shape[0], A.shape[1]))
        A, B = A[:rank], B[:, :rank]
        if rounds(self.init):
            rest = fill_beside_rounding(self.init, A, B, W := weight(), self._rounded, self.scale)
            return A, B, self._rounded(rest) if not is_quantized(self.base) else None if rest is W else rest
        fill_start(self.init, A, B, weight, self.scale, rank)
        W = weight()
        with torch.no_grad():
            return A, B, W - self.scale * B.to(W) @ A.to(W)

    def _rounded(self, W: Tensor) -> Tensor:
        """W as 4 bits hold it: as the base's own do, or, where that is in floats, NF4 in blocks of 64, as in peft."""
        if is_quantized(self.base):
            return self.base.with_weight(W, None).dequantize(W.dtype)
        return dequantize_4bit(*quantize_4bit(W), W.numel(), dtype=W.dtype).view_as(W)

    def factor_parameters(self, A: Tensor, B: Tensor, like: Tensor) -> tuple[nn.Parameter, nn.Parameter]:
        """A and B, on the device and to the precision of `like`; A is not trained where it is frozen."""
        parameters = adapter_parameter(A, like), adapter_parameter(B, like)
        parameters[0].requires_grad_(not self.freeze_a)
        return parameters

    def adapter(self) -> dict[str, nn.Parameter]:
        """The tensors of this layer that its file holds, by their names in the PEFT file format; all but a frozen A are
        trained."""
        return {"lora_A.weight": self.A, "lora_B.weight": self.B}

    def factors(self) -> tuple[Tensor, Tensor]:
        """A, (rank, in), and B, (out, rank), as matrices."""
        return self.A, self.B

    def effective_weight(self) -> Tensor:
        """`W + s · B A`, (out, in): what this layer multiplies with; differentiable, in the adapter's precision."""
        A, B = self.factors()
        return torch.addmm(matrix(self.base, A.dtype), B, A, alpha=self.scale)

    def effective_bias(self) -> Tensor | None:
        """The bias that this layer adds: `b`, or `b + s · b_B` where B has one of its own."""
        bias, update = getattr(self.base, "bias", None), self.adapter().get("lora_B.bias")
        if update is None:
            return bias
        return self.scale * update if bias is None else bias + self.scale * update

    def weight_before(self) -> Tensor:
        """The weight without any adapter, float32, `(out, in)`; dequantized if it is stored in 4 bits."""
        return matrix(self.pretrained).float().to(stored(self.base).device)

    def own_base_bytes(self) -> int:
        """Bytes of the base's weight where the start has made it another one than the given layer's."""
        if self.base is self.pretrained:
            return 0
        shared = {id(tensor) for tensor in itertools.chain(self.pretrained.parameters(), self.pretrained.buffers())}
        tensors = itertools.chain(self.base.named_parameters(), self.base.named_buffers())
        return sum(tensor.nbytes for name, tensor in tensors if name != "bias" and id(tensor) not in shared)

    def weight_now(self) -> Tensor:
        """The weight with the update, float32, `(out, in)`."""
        with torch.no_grad():
            return matrix(self.merged_base).float() if self.merged_base is not None else self.effective_weight().float()

    @property
    def weight(self) -> Tensor:
        """The weight that code sees which reads a layer's weight instead of calling it (`nn.MultiheadAttention`)."""
        return (
            self.merged_base.weight if self.merged_base is not None else as_stored(self.effective_weight(), self.base)
        )

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
        merged_bias = (
            bias if bias is None or isinstance(bias, nn.Parameter) else nn.Parameter(bias, requires_grad=False)
        )
        if merged_bias is not None and merged_bias is not self.base.bias:
            merged_bias.data = merged_bias.data.to(self.base.bias.dtype)
        self.merged_base = with_weight(self.base, weight, merged_bias)

    def unmerge(self) -> None:
        """Compute with base and adapter apart again."""
        self.merged_base = None

    def extra_repr(self) -> str:
        return f"rank={self.rank}, scale={self.scale:g}, dropout={self.dropout:g}"


def shallow(module: Any) -> Any:
    """A module with the same parts, whose parts can be replaced without replacing those of `module`.

    Functions that somebody has bound to `module`, as accelerate does its hooks' `forward`, are bound to the new one.
    """
    twin = copy.copy(module)
    for own in ("_parameters", "_buffers", "_modules"):
        setattr(twin, own, dict(getattr(module, own)))
    for name, value in module.__dict__.items():
        if isinstance(value, MethodType | functools.partial):
            object.__setattr__(twin, name, _rebound(value, module, twin))
    return twin


def _rebound(function: Any, module: Any, twin: Any) -> Any:
    if isinstance(function, MethodType):
        return MethodType(function.__func__, twin) if function.__self__ is module else function
    if not isinstance(function, functools.partial):
        return function
    arguments = (twin if argument is module else argument for argument in function.args)
    bound = functools.partial(_rebound(function.func, module, twin), *arguments, **function.keywords)
    bound.__dict__.update(function.__dict__)
    return bound


def adapter_parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    """A trained tensor on the device of `like`: rounded once to its dtype, as peft does, and kept in float32 or
    better."""
    values = values.detach().to(like.device)
    if like.dtype.is_floating_point:
        values = values.to(like.dtype).to(master_dtype(like.dtype))
    return nn.Parameter(values)


def with_weight(base: Any, weight: Tensor, bias: nn.Parameter | None) -> nn.Module:
    """A layer like the base, with this weight, `(out, in)`, rounded as the base's is, and this very bias.

    Raises:
        ValueError: the base's weight is no parameter of its own, or its forward belongs to this very object.
    """
    if is_quantized(base):
        layer = base.with_weight(weight, None)
        layer.bias = bias
        return layer
    if "weight" not in base._parameters:
        raise ValueError(
            f"this {type(base).__name__} computes its weight from others (a parametrization), so that no other can be "
            "put in its place: nothing can be merged into it or taken out of it"
        )
    layer = shallow(base)
    if "forward" in base.__dict__ and layer.forward is base.forward:
        raise ValueError(
            f"somebody has given this {type(base).__name__} another forward, which would go on reading this layer's "
            "weight: nothing can be merged into it or taken out of it"
        )
    layer.weight = nn.Parameter(as_stored(weight, base), requires_grad=False)
    if bias is not None:
        layer.bias = bias
    return layer


def as_stored(weight: Tensor, base: Any) -> Tensor:
    """`weight`, `(out, in)`, in the base's orientation, shape and dtype."""
    if is_quantized(base):
        return (weight.T if base.was_conv1d else weight).to(base.dtype)
    weight = weight.T.contiguous() if is_transposed(base) else weight
    return weight.view_as(base.weight).to(base.weight.dtype)

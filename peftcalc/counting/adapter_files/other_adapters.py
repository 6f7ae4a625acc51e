"""VeRA and AdaLoRA: adapters that are read and counted, and not among the five methods.

VeRA (Kopiczko et al. 2023, arXiv:2310.11454, section 3.1) keeps one random pair A, B for all layers and trains two
vectors per layer: `y = W x + Λ_b B Λ_d A x`. AdaLoRA (Zhang et al. 2023, arXiv:2303.10512, eq. 3) trains `P Λ Q`, a
low-rank update with its own diagonal, and takes rank from one layer to give it to another while it trains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from peftcalc.counting.count import count
from peftcalc.counting.counts import Count, Part
from peftcalc.methods import ALL_LINEAR, LoRA, Targets
from peftcalc.models.parts import first_name
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes


@dataclass(frozen=True, repr=False)
class OtherAdapter:
    """What VeRA and AdaLoRA have in common.

    Args:
        rank: r of VeRA's shared pair; the rank at which AdaLoRA starts.
        targets, exclude, modules_to_save, layers_to_transform, layers_pattern: which modules, as `LoRA` has them.
        bias: "none", "all" or "lora_only" (those of adapted modules).
    """

    rank: int
    targets: Targets = ALL_LINEAR
    exclude: Targets = ()
    modules_to_save: tuple[str, ...] = ()
    layers_to_transform: tuple[int, ...] | None = None
    layers_pattern: Any = None
    bias: str = "none"

    name: ClassVar[str]
    label: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    has_adapter: ClassVar[bool] = True
    decomposed: ClassVar[bool] = False
    quantized: ClassVar[bool] = False

    def __repr__(self) -> str:
        """The rank and what differs from the defaults: `VeRA(rank=256)`."""
        shown = [f.name for f in fields(self) if f.name == "rank" or getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def selection(self) -> LoRA:
        """LoRA of rank 1 on the same modules."""
        return LoRA(
            rank=1,
            targets=self.targets,
            exclude=self.exclude,
            modules_to_save=self.modules_to_save,
            layers_to_transform=self.layers_to_transform,
            layers_pattern=self.layers_pattern,
            bias=self.bias,
        )

    def trained(self, part: Part, kernel: int) -> int:
        """Parameters that the adapter of one module trains; `kernel` is the product of a convolution's sides."""
        raise NotImplementedError

    def frozen(self) -> int:
        """Parameters that the adapter of one module adds and does not train."""
        return 0

    def untrained(self, parts: Iterable[Part]) -> int:
        """Numbers in the file beside the trained ones."""
        return 0


@dataclass(frozen=True, repr=False)
class VeRA(OtherAdapter):
    """Two trained vectors per layer, `r + out` numbers, around random matrices that all layers share.

    Args:
        save_projection: the file holds the shared A and B too, `r · (largest in + largest out)` numbers.
    """

    rank: int = 256
    save_projection: bool = True

    name: ClassVar[str] = "vera"
    label: ClassVar[str] = "VeRA"
    kinds: ClassVar[tuple[str, ...]] = LINEAR_KINDS

    def trained(self, part: Part, kernel: int) -> int:
        return self.rank + part.out_features

    def untrained(self, parts: Iterable[Part]) -> int:
        wide = max((part.in_features for part in parts), default=0)
        tall = max((part.out_features for part in parts), default=0)
        return self.rank * (wide + tall) if self.save_projection else 0


@dataclass(frozen=True, repr=False)
class AdaLoRA(OtherAdapter):
    """`r · (in + out + 1)` trained numbers per layer at the rank where it starts, and one that is not trained.

    Args:
        target_rank: the average rank that is left at the end.
        alpha: the scaling numerator.
    """

    rank: int = 12
    target_rank: int = 8
    alpha: float = 8

    name: ClassVar[str] = "adalora"
    label: ClassVar[str] = "AdaLoRA"
    kinds: ClassVar[tuple[str, ...]] = (*LINEAR_KINDS, "conv2d")

    def trained(self, part: Part, kernel: int) -> int:
        return self.rank * (part.in_features * kernel + part.out_features + 1)

    def frozen(self) -> int:
        return 1


def count_other(shapes: ModelShapes, method: OtherAdapter, task_type: str | None = None) -> Count:
    """How many parameters VeRA or AdaLoRA trains: the modules are chosen as LoRA chooses them, their size is its own.

    Raises:
        ValueError: targets that match nothing, or a module of a kind that the adapter does not fit.

    >>> from peftcalc.models.load import load_model
    >>> shapes = load_model({"model_type": "gpt2"})
    >>> count_other(shapes, VeRA(targets=["c_attn"])).trainable, 12 * (256 + 3 * 768)
    (30720, 30720)
    """
    plain = replace(shapes, expert_names=None)  # peft translates names of experts for LoRA alone
    if isinstance(method, VeRA):  # and refuses layers of Mamba for LoRA and its kin alone
        plain = replace(plain, config={name: value for name, value in shapes.config.items() if name != "model_type"})
    chosen = count(plain, method.selection(), task_type)
    kernels = {group.template: math.prod(group.kernel) for group in shapes.groups}
    parts = []
    for part in chosen.parts:
        if part.how == "adapter":
            if part.kind not in method.kinds:
                named = first_name(part.module, part.indices)
                raise ValueError(f"{method.label} adapts {' and '.join(method.kinds)} layers, and {named} is none")
            each, frozen = method.trained(part, kernels[part.module]), method.frozen()
            part = replace(part, each=each, frozen=frozen, rank=method.rank)
        parts.append(part)
    adapters = [part for part in parts if part.how == "adapter"]
    trainable = sum(part.trainable for part in parts)
    total = chosen.total + sum(part.held for part in parts) - sum(part.held for part in chosen.parts)
    adapter = trainable + method.untrained(adapters)
    return replace(
        chosen, method=method, trainable=trainable, total=total, adapter=adapter, parts=tuple(parts), model=shapes.id
    )

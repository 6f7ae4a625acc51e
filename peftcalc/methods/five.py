"""The five methods as data: what is frozen, what is trained, at which precision.

Every other room understands these frozen dataclasses. QLoRA is LoRA over a quantized base and QDoRA is DoRA over a
quantized base, so there are two adapters and two bases here and not four unrelated methods.

Sources: LoRA (Hu et al. 2021, arXiv:2106.09685), DoRA (Liu et al. 2024, arXiv:2402.09353), QLoRA (Dettmers et al. 2023,
arXiv:2305.14314), rank-stabilised scaling (Kalajdzievski 2023, arXiv:2312.03732), PiSSA (Meng et al. 2024,
arXiv:2404.02948), LoRA-FA (Zhang et al. 2023, arXiv:2308.03303), LoRA+ (Hayou et al. 2024, arXiv:2402.12354).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from peftcalc.checks import flag, listed, names, one_of, positive, whole_number
from peftcalc.lazy import explained
from peftcalc.methods.method import Method
from peftcalc.methods.peft_objects import four_bit_config, lora_arguments
from peftcalc.methods.starts import checked_start

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig

MAX_RANK = 1_000_000
"""Above this a rank is a typing error: no published matrix is that wide on its smaller side."""

ALL_LINEAR = "all-linear"
QUANT_TYPES = ("nf4", "fp4")
BIAS_CHOICES = ("none", "all", "lora_only")

Targets = str | Sequence[str]


@dataclass(frozen=True, repr=False)
class Full(Method):
    """Full fine-tuning: every parameter is trained.

    >>> Full().has_adapter
    False
    """

    name: ClassVar[str] = "full"
    label: ClassVar[str] = "Full"
    has_adapter: ClassVar[bool] = False


@dataclass(frozen=True, repr=False)
class LoRA(Method):
    """Low-rank adaptation: `y = W x + s · B A x` with `s = α / r`, or `α / √r` when rank-stabilised.

    `A` has shape `(rank, in)`, `B` has shape `(out, rank)`; `W` is frozen. (LoRA paper, section 4.1, eq. 3.)

    Args:
        rank: r, at least 1.
        alpha: α, a positive number.
        dropout: probability from 0 to below 1, applied to the adapter's input.
        targets: "all-linear", a list of module-name suffixes, or a regular expression that must match the whole name;
            what peft's `target_modules` takes.
        rslora: scale with α / √r.
        bias: "none", "all" or "lora_only": which biases of the base are trained, as in peft.
        lora_bias: a trained bias on B.
        modules_to_save: names of modules that are trained in full, as copies.
        exclude: names or a regular expression of modules that are left out.
        rank_pattern, alpha_pattern: per-module ranks and alphas, keyed by name suffix or regular expression.
        layers_to_transform, layers_pattern: restrict to these layer indices (of that list of layers).
        target_parameters: names of `nn.Parameter`s to adapt (stacked experts), as in peft.
        init: how A and B start: "default", "gaussian", "pissa", "pissa_niter_N" or "olora", see
            `peftcalc.methods.starts`.
        freeze_a: train B alone and leave A at its start (LoRA-FA, section 3.2); an embedding's A, which starts at
            zero, is trained all the same, as by peft's `create_lorafa_optimizer`.
        lr_ratio: λ, how many times A's learning rate B has (LoRA+, section 5), as have all other vectors that are
            trained, DoRA's magnitude among them: the groups of peft's `create_loraplus_optimizer`.

    Raises:
        ValueError: a value out of its range, with the value and the range.

    >>> LoRA(rank=64, alpha=16).scaling
    0.25
    """

    rank: int = 8
    alpha: float = 16
    dropout: float = 0.0
    targets: Targets = ALL_LINEAR
    rslora: bool = False
    bias: str = "none"
    lora_bias: bool = False
    modules_to_save: tuple[str, ...] = ()
    exclude: Targets = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    layers_to_transform: tuple[int, ...] | None = None
    layers_pattern: str | Sequence[str] | None = None
    target_parameters: tuple[str, ...] = ()
    init: str = "default"
    freeze_a: bool = False
    lr_ratio: float = 1.0

    name: ClassVar[str] = "lora"
    label: ClassVar[str] = "LoRA"

    def __post_init__(self) -> None:
        store = object.__setattr__
        store(self, "rank", whole_number("rank", self.rank, 1, MAX_RANK))
        positive("alpha", self.alpha)
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout!r}")
        one_of("bias", self.bias, BIAS_CHOICES)
        checked_start(self.init)
        positive("lr_ratio", self.lr_ratio)
        if self.lora_bias and self.init != "default":
            raise ValueError(f"lora_bias needs init='default', got init={self.init!r}; peft refuses it too")
        store(self, "targets", _targets("targets", self.targets, bool(self.target_parameters)))
        store(self, "exclude", _targets("exclude", self.exclude, allow_empty=True))
        store(self, "modules_to_save", names("modules_to_save", self.modules_to_save, "module", allow_empty=True))
        store(self, "target_parameters", names("target_parameters", self.target_parameters, "parameter", True))
        for pattern, rank in _pattern("rank_pattern", self.rank_pattern).items():
            whole_number(f"rank_pattern[{pattern!r}]", rank, 1, MAX_RANK)
        for pattern, alpha in _pattern("alpha_pattern", self.alpha_pattern).items():
            positive(f"alpha_pattern[{pattern!r}]", alpha)
        for name in ("rslora", "lora_bias", "freeze_a"):
            store(self, name, flag(name, getattr(self, name)))
        store(self, "layers_to_transform", _layers(self.layers_to_transform))
        if not isinstance(self.layers_pattern, str):
            names("layers_pattern", self.layers_pattern, "module list", allow_empty=True)
        if self.layers_to_transform is not None and isinstance(self.targets, str) and self.targets != ALL_LINEAR:
            raise ValueError("layers_to_transform needs targets as a list of names, not a regular expression")

    def __hash__(self) -> int:
        """Methods key the caches; the pattern mappings are hashed by their items, lists as tuples."""
        read, others = _read_by_hash(type(self))
        return hash((type(self), read(self), *[_hashable(getattr(self, name)) for name in others]))

    @property
    def scaling(self) -> float:
        """The factor s before `B A x`: α / r, or α / √r when rank-stabilised."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def as_dict(self) -> dict[str, Any]:
        """Field names and values, in order."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def peft_arguments(self, task_type: str | None = None) -> dict[str, Any]:
        """Keyword arguments of `peft.LoraConfig` for this method, without those at their default.

        >>> LoRA(rank=4).peft_arguments()
        {'r': 4, 'lora_alpha': 16, 'lora_dropout': 0.0, 'target_modules': 'all-linear'}
        """
        return lora_arguments(self, LoRA(), task_type)

    def to_peft(self, task_type: str | None = None) -> LoraConfig:
        with explained("a peft.LoraConfig"):
            from peft import LoraConfig

        return LoraConfig(**self.peft_arguments(task_type))


@dataclass(frozen=True, repr=False)
class DoRA(LoRA):
    """Weight-decomposed low-rank adaptation: `W' = m · (W + s·B A) / ‖W + s·B A‖`, with the norm of each output row.

    The magnitude `m`, one number per output row, is trained beside A and B. (DoRA paper, section 4.2, eq. 5.)
    Arguments as for `LoRA`.

    >>> DoRA(rank=4).decomposed
    True
    """

    name: ClassVar[str] = "dora"
    label: ClassVar[str] = "DoRA"
    decomposed: ClassVar[bool] = True

    __hash__ = LoRA.__hash__


@dataclass(frozen=True, repr=False)
class QLoRA(LoRA):
    """LoRA over a base that is stored in 4 bits and dequantized on each use. (QLoRA paper, section 3, eq. 5–6.)

    Args:
        quant: "nf4" or "fp4" (the 4-bit table of bitsandbytes).
        double_quant: quantize the block scales too. The other arguments are those of `LoRA`.

    >>> QLoRA(rank=4, double_quant=False).quant
    'nf4'
    """

    quant: str = "nf4"
    double_quant: bool = True

    name: ClassVar[str] = "qlora"
    label: ClassVar[str] = "QLoRA"
    quantized: ClassVar[bool] = True

    __hash__ = LoRA.__hash__

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("quant", self.quant, QUANT_TYPES)
        object.__setattr__(self, "double_quant", flag("double_quant", self.double_quant))

    def to_bitsandbytes(self) -> BitsAndBytesConfig:
        return four_bit_config(self.quant, self.double_quant)


@dataclass(frozen=True, repr=False)
class QDoRA(QLoRA):
    """DoRA over a base that is stored in 4 bits ("quantized DoRA"). Arguments as for `QLoRA`.

    >>> QDoRA().decomposed, QDoRA().quantized
    (True, True)
    """

    name: ClassVar[str] = "qdora"
    label: ClassVar[str] = "QDoRA"
    decomposed: ClassVar[bool] = True

    __hash__ = LoRA.__hash__


METHODS: dict[str, type[Method]] = {m.name: m for m in (Full, LoRA, DoRA, QLoRA, QDoRA)}
"""The five methods by name, in the order in which every table and figure shows them."""


def make_method(name: str, **options: Any) -> Method:
    """The method called `name` ("full", "lora", "dora", "qlora", "qdora"); options it does not have are left out.

    Raises:
        ValueError: an unknown name, with the nearest one.

    >>> make_method("dora", rank=4, double_quant=True)
    DoRA(rank=4)
    """
    kind = METHODS[one_of("method", str(name).lower(), METHODS)]
    known = {f.name for f in fields(kind)}
    return kind(**{key: value for key, value in options.items() if key in known})


def _targets(name: str, value: Any, allow_empty: bool) -> Targets:
    """A regular expression or the shorthand as a string, any other collection of names as a tuple."""
    if isinstance(value, str) and value.strip():
        return ALL_LINEAR if value.lower() == ALL_LINEAR else value
    return names(name, value, "module", allow_empty)


def _pattern(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or any(not isinstance(key, str) for key in value):
        raise ValueError(f"{name} must give values to names, such as {{'q_proj': 4}}, got {value!r}")
    return value


MAY_BE_UNHASHABLE = ("rank_pattern", "alpha_pattern", "layers_pattern")


@cache
def _read_by_hash(kind: type[LoRA]) -> tuple[attrgetter[Any], tuple[str, ...]]:
    """What reads the fields that are hashed as they are, all at once, and the names of the others."""
    return attrgetter(*[f.name for f in fields(kind) if f.name not in MAY_BE_UNHASHABLE]), MAY_BE_UNHASHABLE


def _hashable(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | tuple):
        return value
    return tuple(value.items()) if isinstance(value, Mapping) else tuple(value)


def _layers(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    layers = (value,) if isinstance(value, int) else listed("layers_to_transform", value, "indices of layers")
    return tuple(whole_number("layers_to_transform", layer, 0, 100_000) for layer in layers)

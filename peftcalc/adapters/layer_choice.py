"""Which layers of a module a method adapts, trains in full or stores in 4 bits: names only, nothing is changed here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from peftcalc.adapters.layers.frozen_weight import is_linear
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.methods import ALL_LINEAR, LoRA
from peftcalc.targets import is_target, no_match_error

ADAPTABLE = "nn.Linear, transformers' Conv1D, nn.Embedding and nn.Conv2d"


@dataclass(frozen=True)
class Choice:
    """Names of modules, in the order in which the module lists them.

    Args:
        adapted: layers that get an adapter.
        saved: modules that are trained in full, as copies (`modules_to_save`).
        biases: parameters of the base that are trained (`bias`).
        quantized: linear layers to be stored in 4 bits.
    """

    adapted: tuple[str, ...]
    saved: tuple[str, ...]
    biases: tuple[str, ...]
    quantized: tuple[str, ...]


def choose_layers(module: nn.Module, method: LoRA) -> Choice:
    """The layers that `method` names, by peft's rules.

    Raises:
        ValueError: nothing matches, or a match is of a kind that cannot be adapted or quantized.

    >>> choose_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), LoRA()).adapted
    ('0',)
    """
    if method.target_parameters:
        raise ValueError("target_parameters (stacked experts) can be counted but not attached here; use targets")
    if method.lora_bias and method.decomposed:
        raise ValueError(f"lora_bias does not exist for {method.label}; peft refuses it too")
    modules = dict(module.named_modules())
    head = _output_embedding(module)
    linear = [name for name, layer in modules.items() if _is_linear(layer) and name != head]
    candidates = linear if method.targets == ALL_LINEAR else list(modules)
    adapted = tuple(name for name in candidates if is_target(name, method))
    if not adapted:
        names = [name for name, layer in modules.items() if is_adaptable(layer)]
        if not names:
            raise ValueError(f"{type(module).__name__} has no layer to adapt; adapters fit {ADAPTABLE}")
        raise no_match_error(method.targets, names)
    for name in adapted:
        _check(name, modules[name], method)
    saved = tuple(_saved(name) for name in _outermost(modules, method.modules_to_save))
    quantized = ()
    if method.quantized:
        quantized = tuple(name for name in linear if not any(_inside(name, copy) for copy in saved))
        if not quantized:
            raise ValueError(f"{method.label} stores linear layers in 4 bits, and {type(module).__name__} has none")
    return Choice(adapted, saved, _trained_biases(module, method, adapted, saved), quantized)


def _is_linear(layer: nn.Module) -> bool:
    return is_linear(layer) or isinstance(layer, QuantizedLinear)


def is_adaptable(layer: nn.Module) -> bool:
    """True for the kinds of layer that have an adapter here."""
    return _is_linear(layer) or isinstance(layer, nn.Embedding | nn.Conv2d)


def _check(name: str, layer: Any, method: LoRA) -> None:
    if not is_adaptable(layer):
        raise ValueError(f"targets match {name!r}, a {type(layer).__name__}; adapters fit {ADAPTABLE}")
    if not isinstance(layer, QuantizedLinear) and not layer.weight.is_floating_point():
        raise ValueError(f"{name!r} is already quantized; load the model in floats and use QLoRA or QDoRA")
    if method.lora_bias and isinstance(layer, nn.Embedding):
        raise ValueError(f"lora_bias does not exist for embeddings, and targets match {name!r}")


def _outermost(modules: dict[str, nn.Module], suffixes: tuple[str, ...]) -> list[str]:
    """Names that end with one of `suffixes` and do not lie inside another such module."""
    found: list[str] = []
    for suffix in suffixes:
        matches = [name for name in modules if name.endswith(suffix)]
        if not matches:
            raise no_match_error((suffix,), modules)
        found += [name for name in matches if not any(_inside(name, outer) for outer in found)]
    return found


def _saved(name: str) -> str:
    if not name:
        raise ValueError("modules_to_save must name modules inside the module")
    return name


def _trained_biases(
    module: nn.Module, method: LoRA, adapted: tuple[str, ...], saved: tuple[str, ...]
) -> tuple[str, ...]:
    """Every bias for "all", those of the adapted layers for "lora_only"; copies train theirs anyway."""
    names = [name for name, _ in module.named_parameters() if name == "bias" or name.endswith(".bias")]
    if method.bias == "none":
        return ()
    owners = {name: name.rpartition(".")[0] for name in names}
    if method.bias == "lora_only":
        names = [name for name in names if owners[name] in adapted]
    return tuple(name for name in names if not any(_inside(owners[name], copy) for copy in saved))


def _inside(name: str, outer: str) -> bool:
    return name == outer or name.startswith(f"{outer}.")


def _output_embedding(module: nn.Module) -> str | None:
    """Name of the layer that makes a transformers model's logits; peft's all-linear leaves it out."""
    getter = getattr(module, "get_output_embeddings", None)
    try:
        head = getter() if getter is not None else None
    except (NotImplementedError, AttributeError):
        head = None
    if head is None:
        return None
    return next((name for name, layer in module.named_modules() if layer is head), None)

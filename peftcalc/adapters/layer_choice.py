"""Which layers of a module a method adapts, trains in full or stores in 4 bits: names only, nothing is changed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peftcalc.adapters.bare_parameters import choose_parameters, translated
from peftcalc.adapters.layers.base import shallow
from peftcalc.adapters.layers.frozen_weight import features, has_own_forward, is_linear
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.methods import ALL_LINEAR, LoRA
from peftcalc.methods.starts import changes_base, rounds
from peftcalc.targets import is_target, no_match_error

ADAPTABLE = "nn.Linear, transformers' Conv1D, nn.Embedding, nn.Conv1d, Conv2d, Conv3d and nn.MultiheadAttention"
_MAMBA_TYPES = ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h")
_MAMBA_REFUSED = ("out_proj", "conv1d")


@dataclass(frozen=True)
class Choice:
    """Names of modules, in the order in which the module lists them.

    Args:
        method: the method, its targets translated to the module's expert stacks.
        adapted: layers that get an adapter.
        parameters: modules of which single parameters get one, and the names of these, a stack of experts for example.
        saved: modules that are trained in full, as copies (`modules_to_save`).
        biases: parameters of the base that are trained (`bias`).
        quantized: linear layers to be stored in 4 bits.
    """

    method: LoRA
    adapted: tuple[str, ...]
    parameters: Mapping[str, tuple[str, ...]]
    saved: tuple[str, ...]
    biases: tuple[str, ...]
    quantized: tuple[str, ...]

    def layers(self) -> dict[str, str]:
        """Every adapted layer's name in peft's files, and the name that `rank_pattern` and `alpha_pattern` match.

        The first parameter of a module lies innermost: its layer is the base of the next one's.
        """
        names = {name: name for name in self.adapted}
        for owner, parameters in self.parameters.items():
            for depth, parameter in zip(reversed(range(len(parameters))), parameters, strict=True):
                names[owner + ".base_layer" * depth] = f"{owner}.{parameter}"
        return names


def choose_layers(module: nn.Module, method: LoRA) -> Choice:
    """The layers that `method` names, by peft's rules.

    Raises:
        ValueError: nothing matches, or a match is of a kind that cannot be adapted or quantized.

    >>> choose_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), LoRA()).adapted
    ('0',)
    """
    if method.lora_bias and method.decomposed:
        raise ValueError(f"lora_bias does not exist for {method.label}; peft refuses it too")
    modules = dict(module.named_modules())
    head = output_embedding(module)
    linear = [name for name, layer in modules.items() if _is_linear(layer) and name != head]
    named, method = method, translated(module, method, linear)
    adapted = _adapted(module, modules, method, linear)
    parameters = choose_parameters(module, method, named.target_parameters, adapted)
    if not adapted and not parameters:
        names = [name for name, layer in modules.items() if is_adaptable(layer)]
        if not names:
            raise ValueError(f"{type(module).__name__} has no layer to adapt; adapters fit {ADAPTABLE}")
        raise no_match_error(named.targets, names)
    saved = tuple(_saved(name) for name in _outermost(modules, method.modules_to_save))
    quantized = ()
    if method.quantized:
        attentions = (name for name in adapted if isinstance(modules[name], nn.MultiheadAttention))
        left = (*saved, *parameters, *attentions)
        quantized = tuple(name for name in linear if not any(_inside(name, outer) for outer in left))
        quantized = _quantizable(module, modules, quantized, method)
    return Choice(method, adapted, parameters, saved, _trained_biases(module, method, adapted, saved), quantized)


def is_adaptable(layer: nn.Module) -> bool:
    """True for the kinds of layer that have an adapter here."""
    return is_single_layer(layer) or isinstance(layer, nn.MultiheadAttention)


def is_single_layer(layer: nn.Module) -> bool:
    """True for an adaptable layer that has no layers inside."""
    return _is_linear(layer) or isinstance(layer, nn.Embedding | nn.Conv1d | nn.Conv2d | nn.Conv3d)


def left_in_floats(module: nn.Module, choice: Choice) -> dict[str, int]:
    """The weights of more than one dimension that a method which quantizes leaves in floats, with their sizes.

    >>> net = nn.Sequential(nn.Embedding(9, 4), nn.Conv1d(4, 4, 3), nn.Linear(4, 2))
    >>> from peftcalc import QLoRA
    >>> left_in_floats(net, choose_layers(net, QLoRA()))
    {'0.weight': 36, '1.weight': 48}
    """
    return {
        name: parameter.numel()
        for name, parameter in module.named_parameters()
        if parameter.dim() > 1 and name.rpartition(".")[0] not in choice.quantized
    }


def said_anyway(module: nn.Module, name: str) -> bool:
    """True for the weights that every description of QLoRA leaves in floats: embeddings, and the logits' layer."""
    owner = name.rpartition(".")[0]
    return owner == output_embedding(module) or isinstance(module.get_submodule(owner), nn.Embedding)


def output_embedding(module: nn.Module) -> str | None:
    """Name of the layer that makes a transformers model's logits; peft's all-linear leaves it out."""
    getter = getattr(module, "get_output_embeddings", None)
    try:
        head = getter() if getter is not None else None
    except (NotImplementedError, AttributeError):
        head = None
    if head is None:
        return None
    return next((name for name, layer in module.named_modules() if layer is head), None)


def _is_linear(layer: nn.Module) -> bool:
    return is_linear(layer) or isinstance(layer, QuantizedLinear)


def _adapted(module: nn.Module, modules: dict[str, Any], method: LoRA, linear: list[str]) -> tuple[str, ...]:
    """The layers that `targets` name; the projection inside an attention that is one belongs to that."""
    if not method.targets:
        return ()
    candidates = linear if method.targets == ALL_LINEAR else list(modules)
    adapted = [name for name in candidates if is_target(name, method)]
    attentions = [name for name in adapted if isinstance(modules[name], nn.MultiheadAttention)]
    adapted = [name for name in adapted if not any(name.startswith(f"{owner}.") for owner in attentions)]
    for name in adapted:
        _check(name, modules[name], method, module)
    return tuple(adapted)


def _quantizable(module: nn.Module, modules: dict[str, Any], names: tuple[str, ...], method: LoRA) -> tuple[str, ...]:
    """Those of the linear layers in whose place 4 bits would not put another computation than the layer's own."""
    found = []
    for name in names:
        layer = modules[name]
        if not isinstance(layer, QuantizedLinear):
            if has_own_forward(type(layer)) or "weight" not in layer._parameters:
                continue
            if layer.weight.is_meta:
                raise ValueError(f"{method.label} reads every weight, and that of {name!r} is on the meta device")
            if "forward" in layer.__dict__:
                continue
        found.append(name)
    if not found:
        raise ValueError(f"{method.label} stores linear layers in 4 bits, and {type(module).__name__} has none")
    return tuple(found)


def _check(name: str, layer: Any, method: LoRA, module: Any) -> None:
    if not is_adaptable(layer):
        raise ValueError(f"targets match {name!r}, a {type(layer).__name__}; adapters fit {ADAPTABLE}")
    model_type = getattr(getattr(module, "config", None), "model_type", None)
    if model_type in _MAMBA_TYPES and name.rpartition(".")[2] in _MAMBA_REFUSED:
        raise ValueError(
            f"targets match {name!r}, which Mamba's kernels read without calling it; peft refuses it too; "
            "name other targets"
        )
    if changes_base(method.init) and isinstance(layer, nn.MultiheadAttention | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        raise ValueError(
            f"init={method.init!r} reads one matrix and does not exist for {name!r}, a {type(layer).__name__}; peft "
            "refuses it too"
        )
    if rounds(method.init) and isinstance(layer, nn.Embedding):
        raise ValueError(
            f"init={method.init!r} begins with what 4 bits lose of a linear layer, and {name!r} is an embedding, which "
            "stays in floats; leave it out"
        )
    if isinstance(layer, nn.MultiheadAttention):
        if method.decomposed:
            raise ValueError(
                f"{method.label} does not exist for {name!r}, an nn.MultiheadAttention; peft refuses it too"
            )
        return
    if not isinstance(layer, QuantizedLinear) and not layer.weight.is_floating_point():
        raise ValueError(f"{name!r} is already quantized; load the model in floats and use QLoRA or QDoRA")
    if layer.__dict__.get("_hf_hook") is not None and not isinstance(layer, QuantizedLinear) and layer.weight.is_meta:
        raise ValueError(
            f"{name!r} is offloaded: its weight is on the meta device between calls, and nothing can be put beside it; "
            "attach first, then offload"
        )
    if has_own_forward(type(layer)) and not _returns_a_tensor(layer):
        raise ValueError(
            f"targets match {name!r}, a {type(layer).__name__}, whose forward returns something else than one tensor, "
            "to which no update can be added; name other targets, or exclude it"
        )
    if method.lora_bias and isinstance(layer, nn.Embedding):
        raise ValueError(f"lora_bias does not exist for embeddings, and targets match {name!r}")


def _returns_a_tensor(layer: Any) -> bool:
    """False when a subclass of a linear layer is known to return something else (Llama 4's router): tried on a copy
    without numbers, so that the layer itself does not notice. A forward that needs more than one input is not known."""
    twin = shallow(layer)
    for tensors in (twin._parameters, twin._buffers):
        tensors.update({name: tensor.detach().to("meta") for name, tensor in tensors.items() if tensor is not None})
    try:
        with torch.no_grad():
            x = torch.empty(1, 1, features(layer)[0], dtype=layer.weight.dtype, device="meta")
            return isinstance(twin.forward(x), Tensor)
    except Exception:  # whatever a stranger's forward raises
        return True


def _outermost(modules: dict[str, nn.Module], suffixes: tuple[str, ...]) -> list[str]:
    """Names that end with one of `suffixes` and do not lie inside another such module. As in peft, a suffix that fits
    nothing is a name of the same thing in other models, as long as another fits."""
    found: list[str] = []
    for suffix in suffixes:
        matches = [name for name in modules if name.endswith(suffix)]
        found += [name for name in matches if not any(_inside(name, outer) for outer in found)]
    if suffixes and not found:
        raise no_match_error(suffixes, modules)
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
        attentions = {
            f"{name}.out_proj" for name in adapted if isinstance(module.get_submodule(name), nn.MultiheadAttention)
        }
        names = [name for name in names if owners[name] in {*adapted, *attentions}]
    return tuple(name for name in names if not any(_inside(owners[name], copy) for copy in saved))


def _inside(name: str, outer: str) -> bool:
    return name == outer or name.startswith(f"{outer}.")

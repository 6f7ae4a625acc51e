"""Attach a method to any `torch.nn.Module`, switch between adapters, merge, and take everything off again.

The module is changed in place: each chosen layer's slot in its parent holds an adapted layer that wraps the very same
base layer, or, where an adapter starts with a part of the weight, a layer with the rest of it. Several named adapters
share one base, which none of them changes; switching swaps the slots and copies nothing.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import nn

from peftcalc.adapters.base_saving import unwatch, watch
from peftcalc.adapters.layer_choice import Choice, choose_layers, is_single_layer, left_in_floats, said_anyway
from peftcalc.adapters.layers.adapt import adapt, adapt_parameter
from peftcalc.adapters.layers.base import AdaptedLayer
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.adapters.slots import Slot, fill, restore, slot_at
from peftcalc.adapters.state import (
    ALONE,
    STATE,
    Adapter,
    State,
    active_of,
    adapted,
    bare,
    handed_back,
    root_of,
    state_of,
    take_off,
    tensors_of,
    trainable,
)
from peftcalc.checks import one_of
from peftcalc.methods import LoRA, Method, QLoRA

__all__ = ["activate", "adapted", "attach", "attach_filled", "detach", "merge", "trainable", "unmerge"]

Fill = Callable[[dict[str, nn.Parameter]], None]
NONE: Mapping[str, nn.Module] = {}


def attach(module: nn.Module, method: Method, seed: int | None = None, adapter: str = "default") -> nn.Module:
    """Freeze `module`, put the method's adapter beside its layers, in place, and return the module.

    Adapted are linear layers, embeddings, convolutions and attentions whose names `method.targets` match, and expert
    stacks, by peft's rules; at first the outputs stay what they were (after `init="pissa"`, to the rounding of
    W − s · B A: the weight and what is left of it are both kept). QLoRA and QDoRA first store every linear layer but
    the output embeddings in 4 bits, and a warning names other weights that stay in floats. `Full` makes everything
    trainable. A second call with another `adapter` name adds an adapter to the same base and makes it the active one.
    When `module` is itself one layer, the layer that wraps it is returned. Until `detach`, the `save_pretrained` of a
    transformers model saves the base, and says so.

    Args:
        module: any module; its parameters are not copied.
        method: `Full`, `LoRA`, `DoRA`, `QLoRA` or `QDoRA`.
        seed: of A's random numbers; None draws from torch's global generator, as peft does.
        adapter: a name for this adapter.

    Raises:
        ValueError: nothing matches, a match cannot be adapted, or the name is taken. The module is then as it was.

    >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> trainable(attach(model, LoRA(rank=2)))
    52
    """
    return attach_filled(module, method, adapter, lambda tensors: None, seed)


def attach_filled(
    module: nn.Module,
    method: Method,
    adapter: str,
    fill_in: Fill,
    seed: int | None = None,
) -> nn.Module:
    """As `attach`; `fill_in` gives the new adapter's tensors their values, and may raise: the module is then as it
    was."""
    if not isinstance(method, Method):
        raise ValueError(f"a method is Full(), LoRA(), DoRA(), QLoRA() or QDoRA(), got {method!r}")
    if not isinstance(adapter, str) or not adapter or "." in adapter:
        raise ValueError(f"an adapter's name must not be empty or contain a dot, got {adapter!r}")
    root = root_of(module)
    if STATE in root.__dict__:
        _attach_another(root, method, seed, adapter, fill_in)
    else:
        if is_single_layer(root):
            root = nn.Sequential(root)  # a single layer has no parent whose slot could be filled
            object.__setattr__(root, ALONE, True)
        _attach_first(root, method, seed, adapter, fill_in)
    return activate(root, adapter)


def detach(module: nn.Module) -> nn.Module:
    """Take all adapters off and return the plain module, which is then exactly what it was before `attach`.

    Two things do not come back: what `Full` has trained in place, and what 4 bits have lost (the layers become floats
    again, with the dequantized weights). When the active adapter is merged, its weights stay in the plain module:
    `merge`, then `detach`, makes a trained module without adapters.

    Raises:
        ValueError: nothing is attached.
    """
    root = root_of(module)
    state = state_of(root)
    slots = active_of(root).slots
    merged = [slot for slot in slots if isinstance(slot.replacement, AdaptedLayer) and slot.replacement.merged_base]
    in_full = [slot for slot in slots if not isinstance(slot.replacement, AdaptedLayer)] if merged else []
    take_off(state)
    fill(in_full)
    for slot in merged:
        slot_at(root, slot.path, slot.replacement.merged_base).fill()
    for name in state.quantized:
        slot_at(root, name, _quantized(root, name).to_floats()).fill()
    for name, parameter in root.named_parameters():
        parameter.requires_grad_(state.trainable_before.get(name, True))
    del root.__dict__[STATE]
    unwatch(root)
    return next(root.children()) if ALONE in root.__dict__ else root


def activate(module: nn.Module, adapter: str) -> nn.Module:
    """Make one of the attached adapters the one that computes and trains; nothing of the base is copied.

    Raises:
        ValueError: no adapter has this name; the sentence lists those that exist.
    """
    root = root_of(module)
    state = state_of(root)
    chosen = state.adapters[one_of("adapter", adapter, state.adapters)]
    take_off(state)
    for parameter in root.parameters():
        parameter.requires_grad_(not isinstance(chosen.method, LoRA))
    for slot in chosen.slots:
        slot.follow_original()
    fill(chosen.slots)
    state.active = adapter
    return handed_back(root)


def merge(module: nn.Module) -> nn.Module:
    """Fold the active adapter's update into the weights: the same outputs without the adapter's cost. Returns the
    module.

    The unmerged weights are kept, so that `unmerge` is exact; `detach` lets go of them. On a 4-bit base the merged
    weight is quantized again, which loses a little each time (NUMERICS: dequantize → merge → requantize).

    Raises:
        ValueError: nothing is attached, or a layer cannot be merged. Nothing is then merged.
    """
    layers = active_of(root_of(module)).layers
    done = []
    try:
        for layer in layers.values():
            if layer.merged_base is None:
                layer.merge()
                done.append(layer)
    except BaseException:
        for layer in done:
            layer.unmerge()
        raise
    return module


def unmerge(module: nn.Module) -> nn.Module:
    """Undo `merge`, bit by bit, and return the module."""
    for layer in active_of(root_of(module)).layers.values():
        layer.unmerge()
    return module


def _attach_first(root: nn.Module, method: Method, seed: int | None, adapter: str, fill_in: Fill) -> None:
    """Build everything, then put it in: the module is touched only for as long as a failure can be undone."""
    if any(isinstance(layer, AdaptedLayer) for layer in root.modules()):
        raise ValueError("a part of this module already has an adapter; detach that first")
    state = State({name: p.requires_grad for name, p in root.named_parameters()})
    chosen = choose_layers(root, method) if isinstance(method, LoRA) else None
    bases: list[Slot] = []
    if chosen is not None and isinstance(method, QLoRA):
        state.quantized = chosen.quantized
        bases = [slot_at(root, n, QuantizedLinear.of(root.get_submodule(n), method)) for n in chosen.quantized]
    fill(bases)
    try:
        built = _build(root, method, chosen, seed, {slot.path: slot.original for slot in bases})
        fill_in(tensors_of(built))
    except BaseException:
        restore(bases)
        raise
    state.adapters[adapter] = built
    object.__setattr__(root, STATE, state)
    watch(root)
    if chosen is not None and chosen.quantized:
        _say_what_stays_in_floats(root, method, chosen)


def _say_what_stays_in_floats(root: nn.Module, method: Method, chosen: Choice) -> None:
    """Embeddings and the output embeddings do in every description of QLoRA; anything else is worth a word."""
    saved = tuple(f"{name}." for name in chosen.saved)
    left = {
        name: size
        for name, size in left_in_floats(root, chosen).items()
        if not said_anyway(root, name) and not name.startswith(saved)
    }
    if left:
        names = list(left)
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        warnings.warn(
            f"{method.label} stores linear layers in 4 bits; other weights stay in floats, {sum(left.values()):,} "
            f"parameters: {shown}",
            stacklevel=4,
        )


def _attach_another(root: nn.Module, method: Method, seed: int | None, adapter: str, fill_in: Fill) -> None:
    """One more adapter over the base that is there."""
    state = state_of(root)
    if adapter in state.adapters:
        raise ValueError(f"adapter {adapter!r} is already attached; choose another name, or detach first")
    if not isinstance(method, LoRA) or not all(isinstance(a.method, LoRA) for a in state.adapters.values()):
        raise ValueError("full fine-tuning changes the base itself, so it cannot share it with another adapter")
    if method.quantized and not state.quantized:
        raise ValueError(f"{method.label} needs a 4-bit base, and this one is already used in floats; detach first")
    with bare(root):
        built = _build(root, method, choose_layers(root, method), seed)
        fill_in(tensors_of(built))
    state.adapters[adapter] = built


def _build(
    root: nn.Module, method: Method, chosen: Choice | None, seed: int | None, floats: Mapping[str, nn.Module] = NONE
) -> Adapter:
    """The adapter over the base layers that now stand in `root`; `root` itself is left untouched.

    `floats` holds what the layers in 4 bits were made of, for starts that read the weight.
    """
    built = Adapter(method)
    if chosen is None or not isinstance(method, LoRA):
        return built
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        for name in chosen.adapted:
            built.layers[name] = adapt(root.get_submodule(name), chosen.method, name, floats.get(name))
        for name, parameters in chosen.parameters.items():
            layer = root.get_submodule(name)
            for depth, parameter in zip(reversed(range(len(parameters))), parameters, strict=True):
                layer = adapt_parameter(layer, chosen.method, name, parameter)
                built.layers[name + ".base_layer" * depth] = layer
    for name in chosen.biases:
        trained = nn.Parameter(root.get_parameter(name).detach().clone())
        layer = built.layers.get(name.rpartition(".")[0])
        own_base = layer.base if layer is not None and layer.base is not layer.pretrained else None
        built.slots.append(slot_at(root, name, trained, own_base))
    for name in chosen.saved:
        built.slots.append(slot_at(root, name, copy.deepcopy(root.get_submodule(name)).requires_grad_(True)))
    outermost = (*chosen.adapted, *chosen.parameters)
    built.slots += [slot_at(root, name, built.layers[name]) for name in outermost]
    return built


def _quantized(root: nn.Module, name: str) -> QuantizedLinear:
    layer = root.get_submodule(name)
    assert isinstance(layer, QuantizedLinear)
    return layer

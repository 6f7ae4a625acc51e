"""What a module remembers of its adapters, and the questions that can be asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn

from peftcalc.adapters.layer_choice import is_single_layer
from peftcalc.adapters.layers.base import AdaptedLayer
from peftcalc.adapters.slots import Slot, fill, restore
from peftcalc.methods import Method

STATE = "_peftcalc_state"
HOLDER = "_peftcalc_holder"
ALONE = "_peftcalc_alone"


@dataclass
class Adapter:
    """One named adapter: its layers by the names of their base layers, and the slots of the module that it fills."""

    method: Method
    layers: dict[str, AdaptedLayer] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)


@dataclass
class State:
    """What a module remembers of its adapters, so that all of it can be undone."""

    trainable_before: dict[str, bool]
    quantized: tuple[str, ...] = ()
    adapters: dict[str, Adapter] = field(default_factory=dict)
    active: str = ""


def adapted(module: nn.Module) -> Iterator[tuple[str, AdaptedLayer]]:
    """The active adapter's layers with the names of their base layers; `weight_before()` and `weight_now()` give (out,
    in).

    >>> from peftcalc import LoRA, attach
    >>> model = attach(nn.Sequential(nn.Linear(3, 2)), LoRA(rank=1))
    >>> [(name, layer.weight_now().shape) for name, layer in adapted(model)]
    [('0', torch.Size([2, 3]))]
    """
    yield from active_of(root_of(module)).layers.items()


def adapters(module: nn.Module) -> dict[str, Method]:
    """The attached adapters by name, and their methods; empty when nothing is attached.

    >>> from peftcalc import LoRA, attach
    >>> adapters(attach(nn.Sequential(nn.Linear(3, 2)), LoRA(rank=1)))
    {'default': LoRA(rank=1)}
    """
    state = root_of(module).__dict__.get(STATE)
    return {name: adapter.method for name, adapter in state.adapters.items()} if state else {}


def active_adapter(module: nn.Module) -> str:
    """Name of the adapter that computes and trains."""
    return state_of(root_of(module)).active


def trainable(module: nn.Module) -> int:
    """How many parameters are trained: what `peftcalc.count` says for the method."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def adapter_layers(module: nn.Module, adapter: str | None = None) -> dict[str, AdaptedLayer]:
    """An adapter's (the active one's) layers by the names of their base layers."""
    root = root_of(module)
    return (active_of(root) if adapter is None else state_of(root).adapters[adapter]).layers


def adapter_tensors(module: nn.Module, adapter: str | None = None) -> dict[str, nn.Parameter]:
    """Everything that an adapter (the active one) holds, by the names in its file without their common prefix."""
    root = root_of(module)
    return tensors_of(active_of(root) if adapter is None else state_of(root).adapters[adapter])


def adapter_bytes(module: nn.Module) -> dict[str, int]:
    """Bytes that each attached adapter adds to the one base that they share; with what is left of the weights, where a
    start has taken a part of them.

    >>> from peftcalc import LoRA, attach
    >>> model = attach(nn.Sequential(nn.Linear(8, 8)), LoRA(rank=2))
    >>> adapter_bytes(attach(model, LoRA(rank=4), adapter="second"))
    {'default': 128, 'second': 256}
    """
    state = state_of(root_of(module))
    return {
        name: sum(t.nbytes for t in tensors_of(adapter).values())
        + sum(layer.own_base_bytes() for layer in adapter.layers.values())
        for name, adapter in state.adapters.items()
    }


def tensors_of(adapter: Adapter) -> dict[str, nn.Parameter]:
    """Everything that an adapter holds, see `adapter_tensors`; all but a frozen A are trained."""
    tensors = {f"{name}.{key}": t for name, layer in adapter.layers.items() for key, t in layer.adapter().items()}
    for slot in adapter.slots:
        if isinstance(slot.replacement, nn.Parameter):
            tensors[slot.path] = slot.replacement
        elif not isinstance(slot.replacement, AdaptedLayer):
            tensors |= {f"{slot.path}.{key}": p for key, p in slot.replacement.named_parameters()}
    return tensors


def take_off(state: State) -> None:
    """Put the base's own layers back in every slot that the active adapter fills."""
    if state.active:
        restore(state.adapters[state.active].slots)


@contextmanager
def bare(module: nn.Module) -> Iterator[nn.Module]:
    """The module as it is without its active adapter, for a moment; a single layer in a container of its own."""
    root = root_of(module)
    state = root.__dict__.get(STATE)
    if state is None:
        yield nn.Sequential(root) if is_single_layer(root) else root
        return
    take_off(state)
    try:
        yield root
    finally:
        if root.__dict__.get(STATE) is state:  # otherwise somebody has detached everything meanwhile
            fill(state.adapters[state.active].slots)


def root_of(module: nn.Module) -> nn.Module:
    """The module that carries the state: itself, or the holder of a single layer."""
    if not isinstance(module, nn.Module):
        raise ValueError(f"an adapter lives in a torch.nn.Module, got {type(module).__name__}")
    return module.__dict__.get(HOLDER, module)


def handed_back(root: nn.Module) -> nn.Module:
    """What `attach` returns: the module, or the wrapped layer when the module was a single layer."""
    if not getattr(root, ALONE, False):
        return root
    layer = next(root.children())
    object.__setattr__(layer, HOLDER, root)
    return layer


def state_of(root: nn.Module) -> State:
    state = root.__dict__.get(STATE)
    if state is None:
        raise ValueError(f"no adapter is attached to this {type(root).__name__}")
    return state


def active_of(root: nn.Module) -> Adapter:
    state = state_of(root)
    return state.adapters[state.active]

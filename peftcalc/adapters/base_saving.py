"""`save_pretrained` of a transformers model that carries adapters: it saves the base, under the base's names."""

from __future__ import annotations

import warnings
from types import MethodType
from typing import Any

from torch import nn

from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.adapters.slots import fill, restore, slot_at
from peftcalc.adapters.state import bare, state_of
from peftcalc.methods import LoRA

NAME = "save_pretrained"


def watch(root: Any) -> None:
    """From now on, `root.save_pretrained` saves the base. A copy of the module saves its own."""
    if hasattr(type(root), NAME):
        object.__setattr__(root, NAME, MethodType(save_base, root))


def unwatch(root: nn.Module) -> None:
    """The class's own `save_pretrained` again."""
    root.__dict__.pop(NAME, None)


def save_base(root: Any, *arguments: Any, **named: Any) -> Any:
    """What `save_pretrained` of the plain module would save, 4-bit layers in floats; and a warning that says so.

    Full fine-tuning changes the base itself, which is then saved as it is.
    """
    state = state_of(root)
    if not isinstance(state.adapters[state.active].method, LoRA):
        return type(root).save_pretrained(root, *arguments, **named)
    how = ", its 4-bit layers in floats" if state.quantized else ""
    warnings.warn(
        f"save_pretrained saves the base alone{how}; save the adapter with save_adapter, or merge and detach first to "
        "save one model",
        stacklevel=2,
    )
    with bare(root):
        floats = []
        for name in state.quantized:
            layer = root.get_submodule(name)
            if isinstance(layer, QuantizedLinear):
                floats.append(slot_at(root, name, layer.to_floats()))
        fill(floats)
        try:
            return type(root).save_pretrained(root, *arguments, **named)
        finally:
            restore(floats)

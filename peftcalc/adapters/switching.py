"""Several adapters over one base: take one away, or do without them for a moment. `attach.activate` chooses one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from peftcalc.adapters.attach import activate, detach, unmerge
from peftcalc.adapters.layers.base import AdaptedLayer
from peftcalc.adapters.state import active_of, bare, root_of, state_of
from peftcalc.checks import one_of
from peftcalc.methods import LoRA


def remove_adapter(module: nn.Module, adapter: str) -> nn.Module:
    """Take one of the attached adapters away and return the module; the others stay.

    When it was the active one, the first of the others becomes active. The last one is taken away by `detach`, and the
    plain module is returned, whether that adapter was merged or not.

    Raises:
        ValueError: no adapter has this name; the sentence lists those that exist.

    >>> from peftcalc import LoRA, adapters, attach
    >>> model = attach(attach(nn.Sequential(nn.Linear(3, 2)), LoRA(rank=1)), LoRA(rank=2), adapter="second")
    >>> adapters(remove_adapter(model, "second"))
    {'default': LoRA(rank=1)}
    """
    root = root_of(module)
    state = state_of(root)
    one_of("adapter", adapter, state.adapters)
    others = [name for name in state.adapters if name != adapter]
    if not others:
        return detach(unmerge(module))
    chosen = activate(root, others[0]) if state.active == adapter else module
    del state.adapters[adapter]
    return chosen


@contextmanager
def disabled(module: nn.Module) -> Iterator[nn.Module]:
    """The module without its adapters, inside a `with`: the base alone computes, merged or not; then all is as before.

    Raises:
        ValueError: nothing is attached, or the method is full fine-tuning, which has changed the base itself.

    >>> import torch
    >>> from peftcalc import LoRA, attach
    >>> base, x = nn.Linear(3, 2), torch.ones(1, 3)
    >>> model = attach(nn.Sequential(base), LoRA(rank=1))
    >>> with disabled(model):
    ...     torch.equal(model(x), base(x))
    True
    """
    root = root_of(module)
    adapter = active_of(root)
    if not isinstance(adapter.method, LoRA):
        raise ValueError("full fine-tuning changes the base itself, so there is nothing to switch off")
    held = module if isinstance(module, AdaptedLayer) and root is not module else None
    merged = None if held is None else held.merged_base
    with bare(root):
        if held is not None:  # a single layer, which is called itself and not through a slot
            held.merged_base = held.base
        try:
            yield module
        finally:
            if held is not None:
                held.merged_base = merged

"""The units in which weights are gathered and gradients reduced: a layer each, and the root unit for all else.

As under FSDP: a unit is gathered before its forward pass and let go after it; when the gradient of its output is there
it is gathered again and the unit before it fetched; when the gradient of its input is there its own gradients are
reduced and it is let go. A checkpointed layer that is computed again is gathered already.

Where weights are frozen and layers checkpointed, FSDP1's hooks hold the input of each layer that was computed again,
and its gradient, to the end (`estimate.sharding.held_by_hooks`); here they are put aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from peftcalc.memory.simulate.several.rank import DividedGradients

ROOT = -1


class Units:
    """The layers of a model that its authors do not split (`_no_split_modules`), in order, and the root unit.

    Args:
        model: on fake tensors, with its adapters.
        rank: which gathers, releases and reduces.
        holds: whether inputs and their gradients are held to the end of the backward pass.
    """

    def __init__(self, model: nn.Module, rank: DividedGradients, holds: bool = False) -> None:
        self.rank, self.holds = rank, holds
        self.modules = list(_layers(model))
        self.members: dict[int, list[nn.Parameter]] = {
            index: list(dict.fromkeys(module.parameters())) for index, module in enumerate(self.modules)
        }
        inside = {parameter for parameters in self.members.values() for parameter in parameters}
        self.members[ROOT] = [p for p in dict.fromkeys(model.parameters()) if p not in inside]
        self.sizes = {
            unit: sum(p.untyped_storage().nbytes() for p in parameters) for unit, parameters in self.members.items()
        }
        """Bytes of each unit's weights, whole."""
        self.last = len(self.modules) - 1
        self.backward = False
        """True once a layer's output has its gradient."""
        self._held: list[torch.Tensor] = []
        self._handles: list[Any] = []

    def parameters(self) -> Iterator[nn.Parameter]:
        """All of all units."""
        for members in self.members.values():
            yield from members

    def watch(self) -> None:
        """Hook every unit's forward pass."""
        for unit, module in enumerate(self.modules):
            self._handles.append(module.register_forward_pre_hook(self._before(unit), with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._after(unit)))

    def end(self) -> None:
        """The backward pass is over: hooks go, and what they held."""
        self._held.clear()
        for handle in self._handles:
            handle.remove()

    def _before(self, unit: int) -> Any:
        def before(module: nn.Module, arguments: tuple, named: dict[str, Any]) -> None:
            self.rank.gather(unit)
            for tensor in _differentiable((arguments, named)):
                if not self.backward:
                    tensor.register_hook(partial(self._behind, unit))
                    self._hold(tensor.detach())

        return before

    def _after(self, unit: int) -> Any:
        def after(module: nn.Module, arguments: tuple, output: Any) -> None:
            if self.backward:  # a checkpointed layer is computed again
                return
            self.rank.release(unit)
            for tensor in _differentiable(output):
                tensor.register_hook(partial(self._ahead, unit))

        return after

    def _ahead(self, unit: int, gradient: torch.Tensor) -> None:
        """The gradient of a unit's output is there, which is that of the next one's input."""
        self.backward = True
        if unit < self.last:
            self._finish(unit + 1)
        self.rank.gather(unit)
        if unit > 0:
            self.rank.fetch(unit - 1)

    def _behind(self, unit: int, gradient: torch.Tensor) -> None:
        """The gradient of a unit's input is there."""
        self._finish(unit)
        self._hold(gradient)

    def _hold(self, tensor: torch.Tensor) -> None:
        if self.holds:
            self._held.append(tensor)
            self.rank.ledger.note(tensor, "saved_activations")

    def _finish(self, unit: int) -> None:
        self.rank.reduce(self.members[unit])
        self.rank.release(unit)


def _layers(model: Any) -> Iterator[nn.Module]:
    """The outermost modules that must not be split, as the model's own classes list them."""
    names = {name for module in model.modules() for name in (getattr(module, "_no_split_modules", None) or ())}
    inside: set[nn.Module] = set()
    for module in model.modules():
        if type(module).__name__ in names and module not in inside:
            inside.update(module.modules())
            yield module


def _differentiable(values: Any) -> Iterator[torch.Tensor]:
    for leaf in tree_leaves(values):
        if isinstance(leaf, torch.Tensor) and leaf.requires_grad:
            yield leaf

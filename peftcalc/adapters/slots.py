"""A place in a module tree and the two things that can stand there: the only way in which the lab changes a module."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peftcalc.adapters.layers.base import AdaptedLayer
from peftcalc.adapters.layers.frozen_weight import is_quantized


@dataclass
class Slot:
    """Attribute `name` of `owner`, a submodule or a parameter; `path` is its full name."""

    path: str
    owner: nn.Module
    name: str
    original: Any
    replacement: Any

    def fill(self) -> None:
        setattr(self.owner, self.name, self.replacement)

    def restore(self) -> None:
        """Put the original back; while it was set aside its replacement may have been cast or moved."""
        leader = self.replacement.base if isinstance(self.replacement, AdaptedLayer) else self.replacement
        if leader is not self.original and not self._is_offloaded(leader):
            _move(self.original, _device(leader))
            _cast(self.original, _dtype(leader))
        setattr(self.owner, self.name, self.original)

    def follow_original(self) -> None:
        """An adapter that was set aside follows its own layer to another device; layers may lie on several. One that is
        offloaded leads nowhere. What it trains keeps its precision; what it has of the base takes the layer's type."""
        if self._is_offloaded(self.original):
            return
        _move(self.replacement, _device(self.original))
        adapted = isinstance(self.replacement, AdaptedLayer)
        copies = (self.replacement.base, self.replacement.merged_base) if adapted else (self.replacement,)
        for copy in copies:
            if copy is not None and copy is not self.original:
                _cast(copy, _dtype(self.original))

    def _is_offloaded(self, standing: Any) -> bool:
        """On the meta device between calls only: accelerate fetches its values for each call."""
        device = _device(standing)
        modules = standing.modules() if isinstance(standing, nn.Module) else (self.owner,)
        return device is not None and device.type == "meta" and any("_hf_hook" in m.__dict__ for m in modules)


def _tensors(standing: Any) -> Iterator[Tensor]:
    return (
        iter((standing,))
        if isinstance(standing, Tensor)
        else itertools.chain(standing.parameters(), standing.buffers())
    )


def _device(standing: Any) -> torch.device | None:
    """Where a parameter or a module's first tensor is."""
    first = next(_tensors(standing), None)
    return None if first is None else first.device


def _dtype(standing: Any) -> torch.dtype | None:
    """The one floating type of a parameter or of all that a module holds; None where there are several."""
    if is_quantized(standing):
        return standing.dtype
    found = {tensor.dtype for tensor in _tensors(standing) if tensor.is_floating_point()}
    return found.pop() if len(found) == 1 else None


def _move(standing: Any, device: torch.device | None) -> None:
    here = _device(standing)
    if device is None or here in (device, None) or here.type == "meta":
        return
    _become(standing, device)


def _cast(standing: Any, dtype: torch.dtype | None) -> None:
    if dtype is not None and _dtype(standing) != dtype:
        _become(standing, dtype)


def _become(standing: Any, what: Any) -> None:
    if isinstance(standing, nn.Parameter):
        standing.data = standing.data.to(what)
    else:
        standing.to(what)


def slot_at(root: nn.Module, path: str, replacement: Any, owner: nn.Module | None = None) -> Slot:
    """The slot of the submodule or parameter called `path`; of another `owner` than that in `root`, if one is given.

    >>> slot = slot_at(model := nn.Sequential(nn.ReLU()), "0", nn.Tanh())
    >>> slot.fill(); model[0]
    Tanh()
    """
    parent, _, name = path.rpartition(".")
    owner = root.get_submodule(parent) if owner is None else owner
    return Slot(path, owner, name, getattr(owner, name), replacement)


def fill(slots: Iterable[Slot]) -> None:
    """Put every replacement in its place."""
    for slot in slots:
        slot.fill()


def restore(slots: Iterable[Slot]) -> None:
    """Put every original back, in reverse order."""
    for slot in reversed(list(slots)):
        slot.restore()

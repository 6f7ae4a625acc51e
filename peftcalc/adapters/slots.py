"""A place in a module tree and the two things that can stand there: the only way in which the lab changes a module."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


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
        """Put the original back; while it was set aside its replacement may have gone to another device."""
        device = _device_of(self.replacement)
        if device is not None and _device_of(self.original) not in (device, None):
            _move(self.original, device)
        setattr(self.owner, self.name, self.original)

    def move_replacement_to(self, device: torch.device) -> None:
        """An adapter that was set aside follows its base to another device."""
        _move(self.replacement, device)


def _device_of(standing: Any) -> torch.device | None:
    """Where a parameter or a module's first tensor is."""
    if isinstance(standing, Tensor):
        return standing.device
    first = next(itertools.chain(standing.parameters(), standing.buffers()), None)
    return None if first is None else first.device


def _move(standing: Any, device: torch.device) -> None:
    if isinstance(standing, nn.Parameter):
        standing.data = standing.data.to(device)
    else:
        standing.to(device)


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

"""A place in a module tree and the two things that can stand there: the only way in which the lab changes a module."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn


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
        setattr(self.owner, self.name, self.original)

    def follow_original(self) -> None:
        """An adapter that was set aside follows its own layer to another device; layers may lie on several. One that is
        offloaded, on the meta device, leads nowhere."""
        original = self.original
        if isinstance(original, nn.Module):
            original = next(itertools.chain(original.parameters(), original.buffers()), None)
        if original is None or original.is_meta:
            return
        device = original.device
        if isinstance(self.replacement, nn.Parameter):
            self.replacement.data = self.replacement.data.to(device)
        else:
            self.replacement.to(device)


def slot_at(root: nn.Module, path: str, replacement: Any) -> Slot:
    """The slot of the submodule or parameter called `path`.

    >>> slot = slot_at(model := nn.Sequential(nn.ReLU()), "0", nn.Tanh())
    >>> slot.fill(); model[0]
    Tanh()
    """
    parent, _, name = path.rpartition(".")
    owner = root.get_submodule(parent)
    return Slot(path, owner, name, getattr(owner, name), replacement)


def fill(slots: Iterable[Slot]) -> None:
    """Put every replacement in its place."""
    for slot in slots:
        slot.fill()


def restore(slots: Iterable[Slot]) -> None:
    """Put every original back, in reverse order."""
    for slot in reversed(list(slots)):
        slot.restore()

"""How many bytes of tensors are alive during a step, at most: counted, not guessed from the process's size.

The process's resident memory is no measure here: the interpreter and its libraries take about 430 MB of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Footprint(TorchDispatchMode):
    """Counts the storages alive while it is active: those it is told of, and those that operations create.

    A storage counts once, however many tensors view it, from its creation until nothing refers to it any more. Not
    counted: what a kernel allocates for itself and frees before it returns.

    >>> with Footprint([]) as footprint:
    ...     x = torch.zeros(1000) + 1
    >>> footprint.peak_bytes
    8000
    """

    def __init__(self, alive: Iterable[Tensor]) -> None:
        super().__init__()
        self.bytes = self.peak_bytes = 0
        self._known: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
        for tensor in alive:
            self._count(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, then count what it returned."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known[storage] = True
        size = storage.nbytes()
        self.bytes += size
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.bytes -= size


def tensors_of(module: torch.nn.Module) -> list[Tensor]:
    """Parameters, their gradients, and buffers of a module."""
    parameters = list(module.parameters())
    return [*parameters, *(p.grad for p in parameters if p.grad is not None), *module.buffers()]

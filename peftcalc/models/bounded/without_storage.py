"""Modules without storage: shapes on torch's meta device, and no time for starting values that nobody reads.

A layer draws its starting values when it is made, on the meta device too, where nothing is stored: half of the time
that building takes. Whatever `torch.nn.init` would do to a tensor is left out here, which changes no shape.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset(
    value for name, value in vars(torch.nn.init).items() if name.endswith("_") and not name.startswith("_")
)
"""`uniform_`, `kaiming_uniform_` and their kin: each changes its first argument, `tensor`, and returns it."""


class _NothingDrawn(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def without_storage() -> Iterator[None]:
    """Within it, this thread makes every tensor on the meta device, and initializes none.

    >>> with without_storage():
    ...     layer = torch.nn.Linear(10**6, 10**6)
    >>> layer.weight.device, layer.weight.shape
    (device(type='meta'), torch.Size([1000000, 1000000]))
    """
    with torch.device("meta"), _NothingDrawn():
        yield

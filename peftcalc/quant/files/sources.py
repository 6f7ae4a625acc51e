"""Where named tensors are looked up: in memory, or in a safetensors file that is not read before it has to be."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from peftcalc.outside_files import plain_file

KINDS = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.uint8: "U8",
    torch.int8: "I8",
}
"""torch's types as safetensors names them."""
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")
"""How files begin that torch.save or pickle has written."""


class Source(Protocol):
    """Named tensors."""

    def names(self) -> list[str]:
        """All names, in order."""
        ...

    def kind(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Type (as safetensors names it) and shape of a tensor, which is not read for that."""
        ...

    def tensor(self, name: str) -> Tensor:
        """The tensor."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Tensors of a state dictionary."""

    tensors: Mapping[str, Tensor]

    def names(self) -> list[str]:
        return list(self.tensors)

    def kind(self, name: str) -> tuple[str, tuple[int, ...]]:
        tensor = self.tensors[name]
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} must be a tensor, got {type(tensor).__name__}")
        return KINDS.get(tensor.dtype, str(tensor.dtype).removeprefix("torch.")), tuple(tensor.shape)

    def tensor(self, name: str) -> Tensor:
        return self.tensors[name].detach()


@dataclass(frozen=True)
class InFile:
    """Tensors of an open safetensors file."""

    file: Any

    def names(self) -> list[str]:
        return list(self.file.keys())

    def kind(self, name: str) -> tuple[str, tuple[int, ...]]:
        part = self.file.get_slice(name)
        return part.get_dtype(), tuple(part.get_shape())

    def tensor(self, name: str) -> Tensor:
        return self.file.get_tensor(name)


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """The open safetensors file `path`; a ValueError says what another file is."""
    name = Path(path).name
    if not os.path.exists(path):  # which no name is too long for, as for `Path.exists`
        raise ValueError(f"{name[:200]}: no such file")
    plain_file(path)
    try:
        with Path(path).open("rb") as file:
            beginning = file.read(2)
        if beginning in _PICKLES:
            raise ValueError(
                f"{name} is a pickle, which can run code, and is not read: it is not a safetensors file; convert it"
            )
        with safe_open(str(path), framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{name} is not a safetensors file, the only kind that is read ({reason})") from None

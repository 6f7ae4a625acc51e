"""A whole checkpoint whose linear layers are in 4 bits, as transformers saves it with bitsandbytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from peftcalc.quant.files.bitsandbytes_layout import (
    StoredWeight,
    belongs_to,
    four_bit_names,
    read_description,
    read_quantized,
    to_tensors,
)
from peftcalc.quant.files.sources import InFile, opened
from peftcalc.quant.quantized import Quantized


class Checkpoint(Mapping[str, Quantized]):
    """The 4-bit weights of a safetensors file, or of all those in a folder, by name.

    A weight is read when it is asked for, and nothing of the others: iterating over `.items()` holds one at a time.

    Args:
        path: a file, or a folder of shards.

    Raises:
        ValueError: no such file, none in the folder, one that is not safetensors, or a name that two of them hold.

    >>> import tempfile
    >>> import torch
    >>> from peftcalc.quant import quantize
    >>> path = Path(tempfile.mkdtemp(), "model.safetensors")
    >>> write_checkpoint(path, {"up.weight": quantize(torch.ones(4, 64)), "norm.weight": torch.ones(64)})
    >>> checkpoint = Checkpoint(path)
    >>> list(checkpoint), checkpoint.others
    (['up.weight'], ('norm.weight',))
    >>> checkpoint["up.weight"]
    Quantized(nf4, shape=(4, 64), group_size=64, double_quant=False, bits_per_value=4.5, nbytes=144)
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path.name} holds no safetensors file")
        self._files: dict[str, Path] = {}
        others: dict[str, Path] = {}
        for file in files:
            with opened(file) as tensors:
                names = InFile(tensors).names()
            weights = four_bit_names(names)
            own = set(weights)
            rest = [name for name in names if not belongs_to(name, own)]
            for name in [*weights, *rest]:
                if name in self._files or name in others:
                    raise ValueError(f"{name} stands in two files of {path.name}")
            self._files |= dict.fromkeys(weights, file)
            others |= dict.fromkeys(rest, file)
        self._others = others

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the tensors that are not in 4 bits."""
        return tuple(self._others)

    def __getitem__(self, name: str) -> Quantized:
        with opened(self._files[name]) as tensors:
            return read_quantized(InFile(tensors), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def tensor(self, name: str) -> Tensor:
        """One of the tensors that are not in 4 bits."""
        with opened(self._others[name]) as tensors:
            return InFile(tensors).tensor(name)

    def describe(self, name: str) -> StoredWeight:
        """What a weight is: format, block size, shape; its codes are not read."""
        with opened(self._files[name]) as tensors:
            return read_description(InFile(tensors), name)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The 4-bit weights of a file or folder in bitsandbytes' layout, by name; see `Checkpoint`."""
    return Checkpoint(path)


def write_checkpoint(path: str | Path, tensors: Mapping[str, Quantized | Tensor]) -> None:
    """Write one safetensors file in bitsandbytes' layout: the `Quantized` among `tensors` in 4 bits, the others as
    they are.

    Raises:
        ValueError: bitsandbytes has no such format, block size or dtype, or two tensors would have one name.
    """
    written: dict[str, Tensor] = {}
    for name, value in tensors.items():
        parts = to_tensors(value, name) if isinstance(value, Quantized) else {name: value}
        if twice := sorted(parts.keys() & written.keys()):
            raise ValueError(f"two tensors would be called {twice[0]}")
        written |= {key: part.detach().cpu().contiguous() for key, part in parts.items()}
    save_file(written, str(path), metadata={"format": "pt"})

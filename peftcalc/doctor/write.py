"""Writing a safetensors file tensor by tensor, in any of its types, with numpy alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peftcalc.doctor.tensor_file import ITEM_BYTES


@dataclass(frozen=True)
class NewTensor:
    """A tensor that is to be written.

    Args:
        name, dtype, shape: as in the file's header.
        parts: gives its bytes, in pieces.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    parts: Callable[[], Iterable[bytes]]

    @property
    def nbytes(self) -> int:
        """Its bytes in the file."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def write_tensors(path: Path, tensors: Sequence[NewTensor], metadata: Mapping[str, str]) -> int:
    """Write the file, whole or not at all, and return its length in bytes."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        header = header_bytes(tensors, metadata)
        file.write(header)
        for tensor in tensors:
            for part in tensor.parts():
                file.write(part)
    unfinished.replace(path)
    return len(header) + sum(tensor.nbytes for tensor in tensors)


def header_bytes(tensors: Sequence[NewTensor], metadata: Mapping[str, str]) -> bytes:
    """The length and the header, filled with spaces to a multiple of eight."""
    described: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for tensor in tensors:
        place = [end, end + tensor.nbytes]
        described[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": place}
        end += tensor.nbytes
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def encode(values: np.ndarray, dtype: str) -> bytes:
    """Numbers as bytes of a floating-point type; to bfloat16 the nearest, and of two equally near the even one.

    >>> encode(np.array([1.0, 1.00390625, 1.01171875]), "BF16").hex()
    '803f803f823f'
    """
    values = np.ascontiguousarray(values)
    if dtype == "BF16":
        bits = values.astype("<f4").view("<u4").astype(np.uint64)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    with np.errstate(over="ignore"):  # the caller looks at the range
        return values.astype(f"<f{ITEM_BYTES[dtype]}").tobytes()

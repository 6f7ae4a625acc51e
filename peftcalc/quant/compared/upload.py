"""The numbers in a file that a visitor uploads: `.npy` or `.safetensors`; nothing in it is executed."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np


def read_upload(name: str, content: bytes) -> dict[str, Any]:
    """The floating-point tensors of a `.npy` or `.safetensors` file, by name; nothing in it is executed.

    Raises:
        ValueError: it is neither, is damaged, or holds no floating-point numbers.
    """
    read = _read_npy if name.lower().endswith(".npy") else _read_safetensors
    tensors = read(name, content)
    if not tensors:
        raise ValueError(f"{name} holds no floating-point numbers")
    return tensors


def _read_npy(name: str, content: bytes) -> dict[str, Any]:
    """The array, after its header and length have been looked at; the header is read as a literal, never run."""
    from numpy.lib import format as npy

    if content[:2] == b"PK":
        raise ValueError(f"{name} is a zip archive, perhaps an .npz; give one .npy file of it")
    stream = io.BytesIO(content)
    damaged = (ValueError, EOFError, OSError, MemoryError, OverflowError, TypeError, KeyError, SyntaxError)
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(stream)
        if dtype.kind != "f":
            return {}
        there, needed = len(content) - stream.tell(), math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or there != needed:
            raise ValueError(f"its header tells of {needed:,} bytes, and {there:,} follow")
        array = np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape, order="F" if by_columns else "C")
    except (*damaged, RecursionError) as error:
        raise ValueError(
            f"{name} is not an .npy file of plain numbers ({' '.join(str(error).split())[:200]})"
        ) from None
    return {name: array} if array.size else {}


def _read_safetensors(name: str, content: bytes) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"{name} is not a safetensors file ({error})") from None
    return {key: tensor for key, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel()}

"""Loops in C that stand in for many small operations of torch, where the machine that installed us had a compiler.

Nothing depends on them: each has its equal in torch beside it, which does the work where nothing was compiled, on a
GPU, and for the shapes and types that the loops do not know. They know no Python and are called through ctypes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from torch import Tensor, dtype
from torch.nn import Parameter

TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int64, "f": ctypes.c_float}


def load(name: str, signatures: Mapping[str, str]) -> dict[str, Any] | None:
    """The loops of `peftcalc/<name>.c`, or None where this installation has none.

    Args:
        name: room and file, such as "quant/four_bits".
        signatures: of each loop its arguments, a letter each, and its result, if it has one, as in "ppf → i":
            p for a pointer, i for an int64, f for a float.

    >>> load("lab/no_such_loops", {"add": "ppi"}) is None
    True
    """
    place = Path(__file__).parent / name
    suffixes = reversed(EXTENSION_SUFFIXES)  # the plain one first, which setup.py gives: it names no Python
    files = [place.with_name(f"_{place.name}{suffix}") for suffix in suffixes]
    try:
        library = ctypes.CDLL(str(next(file for file in files if file.exists())))
        loops = {loop: library[loop] for loop in signatures}
    except (StopIteration, OSError, AttributeError):  # never compiled, for another machine, or from another version
        return None
    for loop, signature in signatures.items():
        arguments, _, result = signature.partition(" → ")
        loops[loop].argtypes = [TYPES[letter] for letter in arguments]
        loops[loop].restype = TYPES[result] if result else None
    return loops


def readable(*tensors: Tensor) -> bool:
    """Whether all lie in the processor's memory, in one piece; a traced step's tensors have another type, and none."""
    for tensor in tensors:  # noqa: SIM110  half of what `all` costs, and a step asks thousands of times
        if not (type(tensor) in _PLAIN and tensor.is_cpu and tensor.is_contiguous()):
            return False
    return True


_PLAIN = (Tensor, Parameter)


Expected = tuple[Tensor, dtype, Sequence[int]]
"""A tensor whose address a loop is given, and the type and the shape that the loop takes it to have."""


def check(loop: str, *expected: Expected) -> None:
    """A loop trusts the addresses that it is given, so a tensor of another kind is refused before it runs.

    Raises:
        ValueError: a tensor has another type or shape, lies elsewhere, or not in one piece.

    >>> import torch
    >>> check("add", (torch.ones(2, 3), torch.float32, (2, 3)))
    >>> check("add", (torch.ones(2, 3).T, torch.float32, (3, 2)))
    Traceback (most recent call last):
    ValueError: add takes torch.float32 of shape (3, 2) in one piece in the processor's memory, got \
torch.float32 of shape (3, 2) on cpu, with strides (1, 3)
    """
    for tensor, kind, shape in expected:
        known = tensor.dtype is kind and tensor.shape == shape and type(tensor) in _PLAIN
        if not (known and tensor.is_cpu and tensor.is_contiguous()):
            got = f"{tensor.dtype} of shape {tuple(tensor.shape)} on {tensor.device}"
            strides = "" if tensor.is_contiguous() else f", with strides {tensor.stride()}"
            raise ValueError(
                f"{loop} takes {kind} of shape {tuple(shape)} in one piece in the processor's memory, got "
                f"{got}{strides}"
            )

"""What can be quantized: floating-point numbers, all of them finite, and no more than memory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peftcalc import units

_CGROUP = Path("/sys/fs/cgroup")


def as_tensor(x: Any) -> Tensor:
    """`x`, a torch tensor or numpy array of floats, as a tensor without gradient.

    Raises:
        ValueError: when it is something else, of another dtype, empty, sparse, or without data.
    """
    import numpy as np

    if isinstance(x, np.ndarray | np.generic):
        x = _from_numpy(np.asarray(x))
    if not isinstance(x, Tensor):
        raise ValueError(f"x must be a torch tensor or a numpy array, got {type(x).__name__}")
    if not x.dtype.is_floating_point:
        raise ValueError(f"x must hold floating-point numbers, got {str(x.dtype).removeprefix('torch.')}")
    if x.numel() == 0:
        raise ValueError(f"x must hold at least one number, got the empty shape {tuple(x.shape)}")
    if x.layout != torch.strided:
        raise ValueError(f"x must be a dense tensor, got the layout {x.layout}")
    if x.is_meta:
        raise ValueError("x must hold numbers, got a tensor on the meta device, which has only a shape")
    return x.detach()


def need_memory(needed: float, what: str, device: torch.device | None = None) -> None:
    """A ValueError when `what` would need more bytes than are free; nothing has been allocated then."""
    free = free_memory(device)
    if needed > free:
        raise ValueError(f"{what} needs {units.gib(needed)} of memory, but only {units.gib(free)} is free")


def free_memory(device: torch.device | None = None) -> float:
    """Bytes that are free on `device`, less where a container's limit is nearer; unknown reads as plenty."""
    if device is not None and device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    there = float("inf")
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            there = 1024.0 * int(line.split()[1])
    limit, used = _text(_CGROUP / "memory.max").strip(), _text(_CGROUP / "memory.current").strip()
    return min(there, float(int(limit) - int(used))) if limit.isdecimal() and used.isdecimal() else there


def check_finite(extremes: Tensor, x: Tensor, first: int = 0) -> None:
    """A ValueError when `extremes` (which are not finite if anything in `x` is not) shows that `x` is not finite.

    `first` is the position of `x` in the tensor of which it is a piece.
    """
    if bool(torch.isfinite(extremes).all()):
        return
    flat = x.reshape(-1)
    bad = (~torch.isfinite(flat.float())).nonzero()
    place = int(bad[0]) if len(bad) else 0
    value = float(flat[place])
    limit = "" if value != value or value in (float("inf"), float("-inf")) else " (float32 ends at 3.4e38)"
    where = f"position {first + place:,} of the flattened tensor"
    raise ValueError(f"x must hold finite numbers{limit}, got {value} at {where}")


def _from_numpy(array: Any) -> Tensor:
    """Any float array as a tensor, also read-only, byte-swapped or strided; types that torch lacks widen to float64."""
    if array.dtype.kind != "f":
        raise ValueError(f"x must hold floating-point numbers, got {array.dtype}")
    if array.dtype.itemsize not in (2, 4, 8):
        array = array.astype("float64")
    native = array.astype(
        array.dtype.newbyteorder("="), copy=not array.flags.writeable or min(array.strides, default=0) < 0
    )
    return torch.from_numpy(native)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

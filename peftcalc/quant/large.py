"""Room for a large result, in large pages.

A fresh vector of 64 MiB costs the processor 16,384 page faults, which take longer than dequantizing into it. Linux
gives pages of 2 MiB to whoever asks (`madvise`, MADV_HUGEPAGE); torch does not ask unless an environment variable says
so.
"""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

LARGE_BYTES = 32 << 20
"""From here on glibc takes fresh pages from the system for every allocation; below, it hands out used ones again."""


def empty(count: int, dtype: torch.dtype, like: Tensor) -> Tensor:
    """An uninitialised vector, (count,), on the device of `like`; `torch.empty` wherever large pages are not to be had.

    >>> empty(3, torch.float32, like=torch.ones(1)).shape
    torch.Size([3])
    """
    on_cpu = type(like) is Tensor and like.device.type == "cpu"  # and not a fake tensor, which has no memory
    if on_cpu and count * dtype.itemsize >= LARGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            pages = mmap.mmap(-1, count * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            pages.madvise(mmap.MADV_HUGEPAGE)
        except OSError:  # a kernel without large pages, or no room: torch says which
            return torch.empty(count, dtype=dtype, device=like.device)
        return torch.frombuffer(pages, dtype=dtype)  # keeps the pages until it is gone
    return torch.empty(count, dtype=dtype, device=like.device)

"""The small work of an adapter on few tokens in bfloat16, compiled: `few_tokens.c`, where `compiled.py` finds it.

`lora.py` and `dora.py` write the same formulas with torch's operations, and round a little oftener. On few tokens those
take longer than what they compute; on many, in float32 or for a wide adapter they are quicker than these loops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from peftcalc.compiled import load, readable

MOST_RANK = 16
"""The loops know no larger rank."""

MOST_TOKENS = 128
"""Beyond these, setting up a product in torch no longer takes longer than the product."""

MOST_PRODUCTS = 1 << 22
"""Beyond so many multiplications, for one computing thread, torch's products have caught up; the loops use one."""


def take(rank: int, small: tuple[Tensor, ...], rows: tuple[Tensor, ...]) -> bool:
    """Whether the loops are there and know these: a `rank`, `small` tensors in float32 with a side of it, and
    activations `rows`, (tokens, columns) in bfloat16.

    >>> take(8, (torch.ones(8, 64),), (torch.ones(2, 64),))
    False
    """
    if rows[0].dtype != torch.bfloat16 or loops() is None or torch.compiler.is_compiling():
        return False
    tokens, columns = rows[0].shape[0], max(row.shape[1] for row in rows)
    return (
        tokens <= MOST_TOKENS
        and rank <= MOST_RANK
        and tokens * columns * rank * torch.get_num_threads() <= MOST_PRODUCTS
        and all(row.dtype == torch.bfloat16 for row in rows)
        and all(tensor.dtype == torch.float32 for tensor in small)
        and readable(*small, *rows)
    )


def low_rank_forward(y: Tensor, x: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """Add `s · B A x` to `y` in place; returns `s · A x`, (rank, tokens), float32."""
    rank, tokens = A.shape[0], x.shape[0]
    Ax = A.new_empty(rank, tokens)
    call("low_rank_forward", (x, y, A, B, Ax), tokens, x.shape[1], y.shape[1], rank, scale)
    return Ax


def low_rank_backward(grad: Tensor, x: Tensor, Ax: Tensor, B: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of A and B, and `s · Bᵀ grad`, (rank, tokens), all float32."""
    rank, tokens = Ax.shape
    grad_A, grad_B, inner = Ax.new_empty(rank, x.shape[1]), torch.empty_like(B), torch.empty_like(Ax)
    tensors = grad, x, Ax, B, grad_A, grad_B, inner
    call("low_rank_backward", tensors, tokens, x.shape[1], grad.shape[1], rank, scale)
    return grad_A, grad_B, inner


def add_low_rank(grad_x: Tensor, inner: Tensor, A: Tensor) -> Tensor:
    """`grad_x += innerᵀ A`, (tokens, in), in place."""
    rank, tokens = inner.shape
    call("add_low_rank", (grad_x, inner, A), tokens, A.shape[1], rank)
    return grad_x


def row_norm(
    WA: Tensor, AA: Tensor, B: Tensor, squares: Tensor, scale: float, cancelled: float, smallest: float
) -> tuple[Tensor, int]:
    """`n`, (out,), and how many rows have less left of ‖W‖² = `squares` than its share `cancelled`.

    Args:
        WA: (rank, out), bfloat16.
        AA: `A Aᵀ`, (rank, rank).
        B: (out, rank).
        squares: (out,).
        scale: s of the update.
        cancelled: the share.
        smallest: the least n².
    """
    rank, out = WA.shape
    norm = torch.empty_like(squares)
    return norm, call("row_norm", (WA, AA, B, squares, norm), out, rank, scale, cancelled, smallest)


def stretch_forward(z: Tensor, magnitude: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """`y = m/n ∘ z`, (tokens, out), and `m/n − 1`, (out,)."""
    y, stretch = torch.empty_like(z), torch.empty_like(norm)
    call("stretch_forward", (z, magnitude, norm, y, stretch), *z.shape)
    return y, stretch


def stretch_backward(grad: Tensor, z: Tensor, stretch: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """`m/n ∘ grad`, (tokens, out), and the gradient of the magnitude, (out,)."""
    stretched, grad_magnitude = torch.empty_like(grad), torch.empty_like(norm)
    call("stretch_backward", (grad, z, stretch, norm, stretched, grad_magnitude), *grad.shape)
    return stretched, grad_magnitude


def call(name: str, tensors: tuple[Tensor, ...], *numbers: float) -> Any:
    """Call a loop, its tensors first."""
    known = loops()
    assert known is not None, "`take` is asked first"
    return known[name](*[tensor.data_ptr() for tensor in tensors], *numbers)


@functools.cache
def loops() -> dict[str, Callable[..., Any]] | None:
    """By their names, or None where this installation has none."""
    return load(
        "adapters/layers/few_tokens",
        {
            "low_rank_forward": "pppppiiiif",
            "low_rank_backward": "pppppppiiiif",
            "add_low_rank": "pppiii",
            "row_norm": "pppppiifff → i",
            "stretch_forward": "pppppii",
            "stretch_backward": "ppppppii",
        },
    )

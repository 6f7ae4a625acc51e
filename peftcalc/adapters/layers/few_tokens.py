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

from peftcalc.compiled import Expected, check, load, readable

MOST_RANK = 16
"""The loops know no larger rank."""

MOST_TOKENS = 128
"""Beyond these, setting up a product in torch no longer takes longer than the product."""

MOST_PRODUCTS = 1 << 22
"""Beyond so many multiplications, for one computing thread, torch's products have caught up; the loops use one."""


def take(rank: int, thin: tuple[Tensor, ...], wide: tuple[Tensor, ...]) -> bool:
    """Whether the loops are there and know these: a `rank`, `thin` tensors in float32 with a side of it, and
    activations `wide`, (tokens, columns) in bfloat16.

    >>> take(8, (torch.ones(8, 64),), (torch.ones(2, 64),))
    False
    """
    if wide[0].dtype != torch.bfloat16 or loops() is None or torch.compiler.is_compiling():
        return False
    tokens, columns = wide[0].shape[0], 0
    for row in wide:
        columns = max(columns, row.shape[1])
        if row.dtype is not torch.bfloat16:
            return False
    for tensor in thin:
        if tensor.dtype is not torch.float32:
            return False
    return (
        0 < tokens <= MOST_TOKENS
        and rank <= MOST_RANK
        and tokens * columns * rank * torch.get_num_threads() <= MOST_PRODUCTS
        and readable(*thin, *wide)
    )


def low_rank_forward(y: Tensor, x: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """Add `s · B A x` to `y` in place; returns `s · A x`, (rank, tokens), float32."""
    (rank, n_in), n_out, tokens = A.shape, B.shape[0], x.shape[0]
    Ax = A.new_empty(rank, tokens)
    inputs = rows(x, tokens, n_in), rows(y, tokens, n_out), small(A, rank, n_in), small(B, n_out, rank)
    call("low_rank_forward", rank, inputs, (x, y, A, B, Ax), tokens, n_in, n_out, rank, scale)
    return Ax


def low_rank_backward(grad: Tensor, x: Tensor, Ax: Tensor, B: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of A and B, and `s · Bᵀ grad`, (rank, tokens), all float32."""
    rank, tokens = Ax.shape
    n_in, n_out = x.shape[1], B.shape[0]
    grad_A, grad_B, inner = Ax.new_empty(rank, n_in), Ax.new_empty(n_out, rank), Ax.new_empty(rank, tokens)
    inputs = rows(grad, tokens, n_out), rows(x, tokens, n_in), small(Ax, rank, tokens), small(B, n_out, rank)
    tensors = grad, x, Ax, B, grad_A, grad_B, inner
    call("low_rank_backward", rank, inputs, tensors, tokens, n_in, n_out, rank, scale)
    return grad_A, grad_B, inner


def add_low_rank(grad_x: Tensor, inner: Tensor, A: Tensor) -> Tensor:
    """`grad_x += innerᵀ A`, (tokens, in), in place."""
    (rank, tokens), n_in = inner.shape, A.shape[1]
    inputs = rows(grad_x, tokens, n_in), small(inner, rank, tokens), small(A, rank, n_in)
    call("add_low_rank", rank, inputs, (grad_x, inner, A), tokens, n_in, rank)
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
    norm = squares.new_empty(out)
    inputs = rows(WA, rank, out), small(AA, rank, rank), small(B, out, rank), small(squares, out)
    return norm, call("row_norm", rank, inputs, (WA, AA, B, squares, norm), out, rank, scale, cancelled, smallest)


def stretch_forward(z: Tensor, magnitude: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """`y = m/n ∘ z`, (tokens, out), and `m/n − 1`, (out,)."""
    tokens, out = z.shape
    y, stretch = torch.empty_like(z), norm.new_empty(out)
    inputs = rows(z, tokens, out), small(magnitude, out), small(norm, out)
    call("stretch_forward", 1, inputs, (z, magnitude, norm, y, stretch), tokens, out)
    return y, stretch


def stretch_backward(grad: Tensor, z: Tensor, stretch: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """`m/n ∘ grad`, (tokens, out), and the gradient of the magnitude, (out,)."""
    tokens, out = grad.shape
    stretched, grad_magnitude = torch.empty_like(grad), norm.new_empty(out)
    inputs = rows(grad, tokens, out), rows(z, tokens, out), small(stretch, out), small(norm, out)
    call("stretch_backward", 1, inputs, (grad, z, stretch, norm, stretched, grad_magnitude), tokens, out)
    return stretched, grad_magnitude


def rows(tensor: Tensor, *shape: int) -> Expected:
    """Activations as a loop takes them."""
    return tensor, torch.bfloat16, shape


def small(tensor: Tensor, *shape: int) -> Expected:
    """A factor, a norm or a product with a side of the rank, as a loop takes it."""
    return tensor, torch.float32, shape


def call(name: str, rank: int, inputs: tuple[Expected, ...], tensors: tuple[Tensor, ...], *numbers: float) -> Any:
    """Call a loop, its tensors first, once its `inputs` and the `rank` are what it takes.

    Raises:
        ValueError: a tensor of another type, shape or place, or a larger rank than the loops know.
    """
    known = loops()
    assert known is not None, "`take` is asked first"
    check(name, *inputs)
    if rank > MOST_RANK:
        raise ValueError(f"rank must be between 1 and {MOST_RANK} in {name}, got {rank}")
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

"""How A and B begin, as arithmetic: one function a start, in one table, by the names of `peftcalc.methods.starts`.

A new start is a line in each of the two tables. Random numbers are drawn in peft's order, so that the same seed gives
the same A.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from peftcalc.methods.starts import split_start

Weight = Callable[[], Tensor]
Filler = Callable[[Tensor, Tensor, Weight, float, int, int | None], None]
"""Gives A, (rank, in …), and B, (out, rank …), their first values in place.

Args: A and B; the layer's W in floats, (out, in), on request; s of the update; its rank, which each expert of
a stack has; the iterations in the start's name.
"""


@torch.no_grad()
def fill_start(name: str, A: Tensor, B: Tensor, weight: Weight, scale: float, rank: int) -> None:
    """Give A and B the values with which the start called `name` begins.

    >>> A, B, W = torch.empty(2, 5), torch.empty(4, 2), torch.randn(4, 2) @ torch.randn(2, 5)
    >>> fill_start("pissa", A, B, lambda: W, scale=0.5, rank=2)
    >>> torch.allclose(0.5 * B @ A, W, atol=1e-5)
    True
    """
    kind, iterations = split_start(name)
    STARTS[kind](A, B, weight, scale, rank, iterations)


@torch.no_grad()
def fill_beside_rounding(
    name: str, A: Tensor, B: Tensor, W: Tensor, rounded: Callable[[Tensor], Tensor], scale: float
) -> Tensor:
    """Fill A and B with what 4 bits lose of W, in turns: `Q = rounded(W − s · B A)`, then `s · B A ≈ W − Q`.

    Returns what was rounded last, W itself after one turn. (Li et al. 2023, LoftQ, algorithm 1.)
    """
    rest = W
    for turn in range(split_start(name)[1] or 1):
        rest = W - scale * B.to(W) @ A.to(W) if turn else W
        fill_start(name, A, B, (W - rounded(rest)).clone, scale, len(A))
    return rest


def _default(A: Tensor, B: Tensor, weight: Weight, scale: float, rank: int, iterations: int | None) -> None:
    """A Kaiming-uniform, B = 0: as LoRA's authors publish it."""
    nn.init.kaiming_uniform_(A, a=math.sqrt(5))
    B.zero_()


def _gaussian(A: Tensor, B: Tensor, weight: Weight, scale: float, rank: int, iterations: int | None) -> None:
    """A normal with a standard deviation of 1/r, B = 0: as LoRA's paper says it (section 4.1)."""
    A.normal_(std=1 / rank)
    B.zero_()


def _pissa(A: Tensor, B: Tensor, weight: Weight, scale: float, rank: int, iterations: int | None) -> None:
    """For `W = U S Vᵀ`: `A = √(S/s) Vᵀ` and `B = U √(S/s)` of the r largest singular values, so that `s · B A` is the
    best approximation of W of rank r (Meng et al. 2024, eq. 2–3).

    With `iterations` the decomposition is found by that many steps of subspace iteration from random numbers.
    """
    if A.dim() != 2:
        raise ValueError("init='pissa' does not exist for a convolution, which is no matrix; peft refuses it too")
    W = weight()
    if iterations is None:
        U, S, Vt = torch.linalg.svd(W, full_matrices=False)
    else:
        U, S, V = torch.svd_lowrank(W, rank, niter=iterations)
        Vt = V.T
    root = (S[:rank] / scale).sqrt()
    A.copy_(root.unsqueeze(1) * Vt[:rank])
    B.copy_(U[:, :rank] * root)


def _olora(A: Tensor, B: Tensor, weight: Weight, scale: float, rank: int, iterations: int | None) -> None:
    """For `W = Q R`: B the first r columns of Q, which are orthonormal, and A the first r rows of R (Büyükakyüz 2024).
    s is not taken out of them, as in peft: the base gives `s · B A` away.
    """
    if A.dim() != 2:
        raise ValueError("init='olora' does not exist for a convolution, which is no matrix; peft refuses it too")
    Q, R = torch.linalg.qr(weight())
    A.copy_(R[:rank])
    B.copy_(Q[:, :rank])


def _loftq(A: Tensor, B: Tensor, weight: Weight, scale: float, rank: int, iterations: int | None) -> None:
    """Of what 4 bits lose of W, handed in as `weight`, the best approximation of rank r (Li et al. 2023, eq. 9–10).

    s is taken out of it, so that `s · B A` is that approximation; peft leaves s in, and is the same at α = r only.
    """
    _pissa(A, B, weight, scale, rank, None)


STARTS: dict[str, Filler] = {
    "default": _default,
    "gaussian": _gaussian,
    "pissa": _pissa,
    "olora": _olora,
    "loftq": _loftq,
}

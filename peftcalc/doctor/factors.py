"""The update `s · B A` of one module from its two thin factors, without ever forming it.

With `B = Q_B R_B` and `Aᵀ = Q_A R_A` (thin QR), `B A = Q_B (R_B R_Aᵀ) Q_Aᵀ`: the singular values of the large product
are those of the small matrix `R_B R_Aᵀ`, (r, r), and so is its best approximation of rank k (Eckart & Young 1936).

A pair of factors may stand for several updates: stacked experts have one each at the full rank, and a convolution with
groups shares its rank among them. Such a pair is a batch of `blocks`, and rank k means k in every expert, k divided by
the groups in every group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peftcalc.geometry.spectrum import Spectrum

KINDS = ("linear", "embedding", "convolution", "experts")


@dataclass(frozen=True)
class Factors:
    """`B` (blocks, out, r) and `A` (blocks, r, in) of one module, in float64, and how to put them back.

    Args:
        B, A: the factors, one block for each expert or group.
        kind: one of `KINDS`.
        shapes: shape of B and A as stored.
    """

    B: np.ndarray
    A: np.ndarray
    kind: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def sharing(self) -> int:
        """Among how many blocks the rank is divided: the groups of a convolution, else 1."""
        return len(self.B) if self.kind == "convolution" else 1

    @property
    def rank(self) -> int:
        """r of the module as peft's config has it."""
        return self.B.shape[2] * self.sharing

    def spectrum(self, scale: float) -> Spectrum:
        """Singular values of `s · B A`; of several blocks, at each place the root of the sum of their squares."""
        values = scale * np.linalg.svd(_small(self)[2], compute_uv=False)  # (blocks, least side)
        return Spectrum(np.sqrt((values**2).sum(axis=0)))

    def largest(self, scale: float) -> float:
        """The spectral norm of `s · B A`: the largest singular value of any block."""
        return float(scale * np.linalg.norm(_small(self)[2], ord=2, axis=(1, 2)).max())

    def cut(self, rank: int) -> Factors:
        """The factors of the nearest update of this rank: `B_k = Q_B U_k √Σ_k`, `A_k = √Σ_k V_kᵀ Q_Aᵀ`.

        Balanced: the columns of `B_k` are as long as the rows of `A_k`. A rank that the module does not exceed leaves
        it as it is.

        >>> B, A = np.diag([4.0, 1.0])[None], np.eye(2)[None]
        >>> cut = Factors(B, A, "linear", ((2, 2), (2, 2))).cut(1)
        >>> abs(cut.B @ cut.A).round(12)
        array([[[4., 0.],
                [0., 0.]]])
        """
        keep = max(rank // self.sharing, 1)
        if keep >= self.B.shape[2]:
            return self
        Q_B, Q_A, small = _small(self)
        U, values, Vt = np.linalg.svd(small, full_matrices=False)
        root = np.zeros((len(values), keep))
        root[:, : values.shape[1]] = np.sqrt(values[:, :keep])  # a rank above the smaller side is filled with zeros
        U, Vt = _padded(U, keep, 2), _padded(Vt, keep, 1)
        B = Q_B @ (U * root[:, None, :])  # (blocks, out, k)
        A = (Vt * root[:, :, None]) @ Q_A.transpose(0, 2, 1)  # (blocks, k, in)
        return Factors(B, A, self.kind, self.shapes)

    def stored(self) -> tuple[np.ndarray, np.ndarray]:
        """`B` and `A` in the shapes in which peft keeps them."""
        shape_B, shape_A = self.shapes
        keep = self.B.shape[2]
        if self.kind == "experts":
            B = self.B.transpose(1, 2, 0).reshape(shape_B[0], -1)  # (out, r · experts), the expert runs fastest
            return B, self.A.reshape(-1, shape_A[1])
        if self.kind == "convolution":
            return self.B.reshape(shape_B[0], keep, *shape_B[2:]), self.A.reshape(-1, *shape_A[1:])
        return self.B[0], self.A[0]


def make_factors(B: np.ndarray, A: np.ndarray, rank: int, embedding: bool = False, experts: bool = False) -> Factors:
    """The factors as peft stores them, sorted into blocks.

    Args:
        B: (out, r); of a convolution (out, r / groups, 1, …); of stacked experts (out, r · experts).
        A: (r, in); of a convolution (r, in, k, …); of stacked experts (experts · r, in).
        rank: r of the config.
        embedding: A is (r, tokens) and B (features, r).
        experts: the pair belongs to one of `target_parameters`.

    Raises:
        ValueError: shapes that do not fit each other or the rank.
    """
    shapes = (B.shape, A.shape)
    wrong = ValueError(f"B of shape {B.shape} and A of shape {A.shape} do not fit each other at rank {rank:,}")
    if min(B.ndim, A.ndim) < 2 or 0 in B.shape or 0 in A.shape or B.ndim != A.ndim:
        raise wrong
    if experts and A.shape[0] != rank and A.shape[0] % rank == 0 and B.shape[1] == A.shape[0]:
        stack = A.shape[0] // rank
        blocks = B.reshape(B.shape[0], rank, stack).transpose(2, 0, 1)
        return Factors(blocks, A.reshape(stack, rank, A.shape[1]), "experts", shapes)
    if A.shape[0] != rank:
        raise wrong
    if B.ndim == 2:
        if B.shape[1] != rank:
            raise wrong
        return Factors(B[None], A[None], "embedding" if embedding else "linear", shapes)
    width = B.shape[1]
    groups = rank // width
    if groups * width != rank or B.shape[0] % groups or any(side != 1 for side in B.shape[2:]):
        raise wrong
    return Factors(B.reshape(groups, -1, width), A.reshape(groups, width, -1), "convolution", shapes)


def _small(factors: Factors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`Q_B`, `Q_A` and `R_B R_Aᵀ`."""
    Q_B, R_B = np.linalg.qr(factors.B)
    Q_A, R_A = np.linalg.qr(factors.A.transpose(0, 2, 1))
    return Q_B, Q_A, R_B @ R_A.transpose(0, 2, 1)


def _padded(vectors: np.ndarray, keep: int, axis: int) -> np.ndarray:
    """The first `keep` vectors along the axis, with zeros where there are fewer."""
    vectors = np.take(vectors, range(min(keep, vectors.shape[axis])), axis=axis)
    missing = [(0, 0)] * 3
    missing[axis] = (0, keep - vectors.shape[axis])
    return np.pad(vectors, missing)

"""The update of one module from its thin factors: closed form, and a dense SVD of the product beside it."""

from __future__ import annotations

import numpy as np
import pytest

from peftcalc.doctor.factors import make_factors
from peftcalc.geometry.spectrum import rank_of

GENERATOR = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return GENERATOR.normal(size=shape)


def orthonormal(rows: int, columns: int) -> np.ndarray:
    return np.linalg.qr(normal(rows, columns))[0]


def test_hand_made_singular_values_come_back() -> None:
    """B = U diag(4, 3), A = Vᵀ with orthonormal U and V: σ = 4, 3, energy within rank 1 = 16/25."""
    factors = make_factors(orthonormal(7, 2) * [4, 3], orthonormal(9, 2).T, rank=2)
    spectrum = factors.spectrum(0.5)
    np.testing.assert_allclose(spectrum.singular_values, [2, 1.5], rtol=1e-12)
    assert spectrum.within(1) == pytest.approx(16 / 25, rel=1e-12)
    assert factors.largest(0.5) == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize(
    ("out", "inside", "rank"),
    [(12, 20, 5), (20, 12, 12), (6, 4, 8), (1, 9, 3), (5, 5, 1)],
    ids=["thin", "full", "wider than the matrix", "one row", "rank one"],
)
def test_dense_svd_agrees(out: int, inside: int, rank: int) -> None:
    B, A, scale = normal(out, rank), normal(rank, inside), 1.25
    factors = make_factors(B, A, rank)
    dense = rank_of(scale * B @ A)
    found = factors.spectrum(scale)
    least = min(len(dense.singular_values), len(found.singular_values))
    # Two algorithms in float64: some units in the last place of the largest value.
    np.testing.assert_allclose(found.singular_values[:least], dense.singular_values[:least], atol=1e-12 * 100)
    assert found.effective_rank == pytest.approx(dense.effective_rank, rel=1e-9)
    for keep in range(1, rank + 1):
        cut = factors.cut(keep)
        new_B, new_A = cut.stored()
        assert (new_B.shape, new_A.shape) == ((out, min(keep, rank)), (min(keep, rank), inside))
        np.testing.assert_allclose(new_B @ new_A, truncated(B @ A, keep), atol=1e-10)


def truncated(dense: np.ndarray, keep: int) -> np.ndarray:
    U, values, Vt = np.linalg.svd(dense, full_matrices=False)
    return (U[:, :keep] * values[:keep]) @ Vt[:keep]


def test_the_cut_is_balanced_and_a_higher_rank_changes_nothing() -> None:
    factors = make_factors(100 * normal(12, 6), normal(6, 20), rank=6)
    cut = factors.cut(3)
    B, A = cut.stored()
    np.testing.assert_allclose(B.T @ B, A @ A.T, atol=1e-9)  # both are Σ_k
    assert factors.cut(6) is factors
    assert factors.cut(9) is factors


def test_a_zero_update_stays_zero() -> None:
    factors = make_factors(np.zeros((4, 3)), normal(3, 5), rank=3)
    assert factors.spectrum(2.0).effective_rank == 0
    B, A = factors.cut(1).stored()
    assert not (B @ A).any()


def test_a_convolution_with_groups_is_one_update_for_each() -> None:
    """peft: A (rank, in, k, k) convolves, B (out, rank / groups, 1, 1) has the groups."""
    B, A = normal(8, 2, 1, 1), normal(4, 3, 3, 3)
    factors = make_factors(B, A, rank=4)
    dense = [B[g * 4 : g * 4 + 4, :, 0, 0] @ A[g * 2 : g * 2 + 2].reshape(2, -1) for g in range(2)]
    values = np.array([np.linalg.svd(block, compute_uv=False)[:2] for block in dense])
    np.testing.assert_allclose(factors.spectrum(1.0).singular_values, np.sqrt((values**2).sum(0)), rtol=1e-10)
    assert factors.largest(1.0) == pytest.approx(values.max(), rel=1e-10)
    new_B, new_A = factors.cut(2).stored()
    assert (new_B.shape, new_A.shape) == ((8, 1, 1, 1), (2, 3, 3, 3))
    for g in range(2):
        block = new_B[g * 4 : g * 4 + 4, :, 0, 0] @ new_A[g : g + 1].reshape(1, -1)
        np.testing.assert_allclose(block, truncated(dense[g], 1), atol=1e-10)


def test_stacked_experts_are_one_update_for_each() -> None:
    """peft: delta[e, o, i] = Σ_r B[o, r, e] A[e, r, i]."""
    experts, rank, out, inside = 3, 4, 6, 5
    B, A = normal(out, rank * experts), normal(experts * rank, inside)

    def dense(B: np.ndarray, A: np.ndarray, rank: int) -> np.ndarray:
        return np.einsum("ore,eri->eoi", B.reshape(out, rank, experts), A.reshape(experts, rank, inside))

    factors = make_factors(B, A, rank, experts=True)
    assert factors.kind == "experts"
    whole = np.linalg.norm(dense(B, A, rank))
    assert np.linalg.norm(factors.spectrum(2.0).singular_values) == pytest.approx(2 * whole, rel=1e-10)
    new = dense(*factors.cut(2).stored(), 2)
    for e in range(experts):
        np.testing.assert_allclose(new[e], truncated(dense(B, A, rank)[e], 2), atol=1e-10)


@pytest.mark.parametrize(
    ("B", "A", "rank"),
    [
        (normal(4, 3), normal(2, 5), 3),
        (normal(4, 2), normal(3, 5), 3),
        (normal(3, 4), normal(5, 3), 3),
        (normal(4), normal(3, 5), 3),
        (np.zeros((0, 3)), normal(3, 5), 3),
        (normal(4, 3, 1, 1), normal(3, 5), 3),
        (normal(9, 2, 1, 1), normal(4, 2, 3, 3), 4),
        (normal(8, 2, 3, 3), normal(4, 2, 3, 3), 4),
    ],
    ids=["A of another rank", "B of another rank", "transposed", "a row", "empty", "mixed", "groups", "wide B"],
)
def test_shapes_that_do_not_fit_are_a_sentence(B: np.ndarray, A: np.ndarray, rank: int) -> None:
    with pytest.raises(ValueError, match="do not fit each other at rank"):
        make_factors(B, A, rank)

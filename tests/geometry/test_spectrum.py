"""Singular values of updates: closed form, properties, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc.geometry.spectrum import rank_of


def test_known_singular_values_give_known_shares():
    spectrum = rank_of(np.diag([3.0, 2.0, 1.0, 0.0]))
    np.testing.assert_allclose(spectrum.singular_values, [3, 2, 1, 0], atol=1e-12)
    np.testing.assert_allclose(spectrum.energy, [9 / 14, 13 / 14, 1, 1], rtol=1e-12)
    assert spectrum.within(0) == 0
    assert spectrum.within(2) == pytest.approx(13 / 14)
    assert spectrum.rank_for(0.9) == 2
    assert spectrum.rank_for(1.0) == 3


def test_equal_singular_values_have_that_effective_rank():
    left = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 5)))[0]
    assert rank_of(left @ np.ones((5, 5)) * 0 + left @ np.eye(5)).effective_rank == pytest.approx(5, rel=1e-9)
    assert rank_of(np.outer([1.0, 2.0], [3.0, 4.0])).effective_rank == pytest.approx(1, rel=1e-6)
    assert rank_of(np.zeros((3, 4))).effective_rank == 0
    assert rank_of(np.zeros((3, 4))).energy.tolist() == [1, 1, 1]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000))
def test_no_update_of_that_rank_is_closer_than_the_bound(rows, columns, seed):
    """Eckart–Young: the truncated decomposition reaches the bound, and a random factorisation stays above it."""
    generator = np.random.default_rng(seed)
    update = generator.standard_normal((rows, columns))
    spectrum, total = rank_of(update), np.square(update).sum()
    left, values, right = np.linalg.svd(update, full_matrices=False)
    for rank in range(1, min(rows, columns) + 1):
        best = (left[:, :rank] * values[:rank]) @ right[:rank]
        bound = 1 - spectrum.within(rank)
        assert np.square(update - best).sum() / total == pytest.approx(bound, abs=1e-12)
        basis = np.linalg.qr(generator.standard_normal((columns, rank)))[0]
        assert np.square(update - update @ basis @ basis.T).sum() / total >= bound - 1e-12


def test_torch_and_numpy_and_bfloat16_agree():
    update = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    np.testing.assert_array_equal(rank_of(update).singular_values, rank_of(update.float().numpy()).singular_values)
    assert len(rank_of(torch.zeros(8, 2, 3, 3)).singular_values) == 8  # a convolution is flattened to (8, 18)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([1.0, 2.0], "matrix with at least one row"),
        (np.zeros((0, 3)), "matrix with at least one row"),
        ([[1.0, float("nan")]], "must be finite, got 1 values"),
        ("text", "must be a matrix"),
    ],
)
def test_what_is_no_matrix_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        rank_of(bad)


def test_shares_and_ranks_out_of_range_are_refused():
    spectrum = rank_of(np.eye(3))
    with pytest.raises(ValueError, match=r"share must be above 0 and at most 1, got 1\.5"):
        spectrum.rank_for(1.5)
    with pytest.raises(ValueError, match="rank must be between 0 and 3, got 4"):
        spectrum.within(4)

"""The example that is checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from peftcalc.counting.worked_example import worked_example


@pytest.mark.parametrize("rank", range(1, 6))
def test_the_update_has_the_rank_that_was_asked_for(rank):
    example = worked_example(rank)
    assert np.linalg.matrix_rank(example.update) == rank
    assert example.trained_parameters == 2 * 5 * rank
    assert (example.adapted == example.W + example.B @ example.A).all()


def test_a_higher_rank_adds_to_the_lower_one():
    low, high = worked_example(1), worked_example(3)
    assert (low.W == high.W).all()
    assert (high.A[:1] == low.A).all()
    assert (high.B[:, :1] == low.B).all()


def test_the_seed_decides():
    assert (worked_example(2, seed=7).update == worked_example(2, seed=7).update).all()
    assert (worked_example(2, seed=7).W != worked_example(2, seed=8).W).any()


@pytest.mark.parametrize("arguments", [{"rank": 0}, {"rank": 6}, {"rank": 1.5}, {"size": 1}, {"size": 99}])
def test_bad_values_are_sentences(arguments):
    with pytest.raises(ValueError, match="must be"):
        worked_example(**arguments)

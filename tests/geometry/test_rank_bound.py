"""The floor that the page draws is the one that the task has."""

from __future__ import annotations

import numpy as np
import pytest

from peftcalc.geometry.rank_bound import SPECTRA, known_floor
from peftcalc.lab.tasks.catalogue import TASKS


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("k", [1, 4, 8])
def test_it_is_the_bound_of_the_trained_teacher(k, spectrum):
    teacher = TASKS["rank"].build(seed=3, teacher_rank=k, spectrum=spectrum)
    np.testing.assert_allclose(known_floor(k, spectrum), teacher.bounds()[:17], atol=2e-6)


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_it_falls_from_one_to_exactly_zero(spectrum):
    floor = known_floor(6, spectrum, up_to=9)
    assert floor[0] == 1
    assert (np.diff(floor[:7]) < 0).all()
    assert (floor[6:] == 0).all()


def test_fewer_ranks_than_the_teacher_has():
    assert known_floor(8, up_to=2).tolist() == [1, 7 / 8, 6 / 8]


@pytest.mark.parametrize(("k", "spectrum", "up_to"), [(0, "equal", 4), (4, "flat", 4), (4, "equal", -1)])
def test_bad_input_is_a_sentence(k, spectrum, up_to):
    with pytest.raises(ValueError, match=r"must be"):
        known_floor(k, spectrum, up_to)

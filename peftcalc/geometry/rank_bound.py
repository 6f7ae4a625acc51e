"""The floor under every update of rank r, known before training where the update's spectrum is known."""

from __future__ import annotations

import numpy as np

from peftcalc.checks import one_of, whole_number

SPECTRA = ("equal", "decaying")


def known_floor(teacher_rank: int, spectrum: str = "equal", up_to: int = 16) -> np.ndarray:
    """Lowest relative squared error that an update of rank 0, 1, 2, …, `up_to` can reach.

    An update with singular values σ_1 ≥ σ_2 ≥ … is best approximated by its r largest ones, so the floor is the share
    of the energy that is left: `Σ_{i>r} σ_i² / Σ σ_i²`.

    Args:
        teacher_rank: k, how many singular values are not zero.
        spectrum: "equal" for σ_i = 1, "decaying" for σ_i = 1/√i, whose energies are 1, 1/2, 1/3, …
        up_to: the largest rank asked for.

    Returns:
        Shape `(up_to + 1,)`; 1 at rank 0, and exactly 0 from rank k on.

    Source: Eckart & Young 1936. It is the floor of the task `rank` (`LinearTeacher.bounds`), without torch.

    >>> known_floor(4, up_to=5).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    one_of("spectrum", spectrum, SPECTRA)
    k = whole_number("teacher_rank", teacher_rank, 1, 10_000)
    up_to = whole_number("up_to", up_to, 0, 10_000)
    energies = np.ones(k) if spectrum == "equal" else 1 / np.arange(1, k + 1)
    tails = np.cumsum(energies[::-1])[::-1]
    left = np.concatenate([tails / tails[0], [0.0]])  # (k + 1,)
    floor = np.zeros(up_to + 1)
    floor[: k + 1] = left[: up_to + 1]
    return floor

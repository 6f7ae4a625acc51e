"""Hours and money of a run."""

from __future__ import annotations

import pytest

from peftcalc.speed.records import SpeedEstimate
from peftcalc.speed.run import run_cost

STEP = SpeedEstimate(2000.0, 1000.0, 4000.0, 2.0, 4000, 500, "T4", "compute", ())
"""Eight sequences of 500 tokens in two seconds."""


def test_examples_and_epochs_become_steps_hours_and_money():
    cost = run_cost(STEP, examples=7200, epochs=2, price=3)
    assert (cost.tokens, cost.steps, cost.hours) == (7_200_000, 1800, 1.0)
    assert (cost.money, cost.low_money, cost.high_money) == (3.0, 1.5, 6.0)
    assert (cost.low_hours, cost.high_hours) == (0.5, 2.0)


def test_tokens_are_taken_as_they_are_and_a_rest_fills_a_step():
    cost = run_cost(STEP, tokens=4001)
    assert (cost.tokens, cost.steps, cost.money) == (4001, 2, None)
    assert run_cost(STEP, tokens=1).steps == run_cost(STEP, examples=1).steps == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "either tokens or examples"),
        ({"tokens": 1, "examples": 1}, "either tokens or examples"),
        ({"tokens": 0}, "tokens must be between 1"),
        ({"tokens": 1, "price": 0}, "price must be a positive number"),
        ({"tokens": 1, "epochs": float("nan")}, "epochs must be a positive number"),
    ],
)
def test_bad_input_is_refused(data, said):
    with pytest.raises(ValueError, match=said):
        run_cost(STEP, **data)

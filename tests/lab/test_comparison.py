"""Comparisons: intervals by hand, pairs within seeds, tables, bad input."""

import math

import numpy as np
import pytest

import peftcalc as pc
from peftcalc.lab.comparison import Comparison, RunResult, interval


def result(method, seed, validation, stopped=None):
    return RunResult(method, seed, 1.0, validation, {"accuracy": 1 - validation}, 2.0, 100, 10, stopped)


def test_the_interval_is_students():
    """Mean 3, deviation √2.5, five values: 2.776 · √2.5 / √5."""
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3
    assert found.half_width == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5))
    assert math.isnan(interval([1.0]).half_width)
    assert str(interval([1.0])) == "1.0000 (n = 1)"
    with pytest.raises(ValueError, match="at least one number"):
        interval([])


def test_the_interval_covers_the_mean_in_95_of_100_draws():
    generator = np.random.default_rng(0)
    found = [interval(row.tolist()) for row in generator.standard_normal((2000, 4))]
    assert np.mean([abs(one.mean) < one.half_width for one in found]) == pytest.approx(0.95, abs=0.015)


def test_pairs_take_out_what_the_seeds_share():
    one, two = pc.LoRA(rank=1), pc.DoRA(rank=1)
    hard = (0.1, 0.5, 0.9)  # seeds differ much more than methods
    runs = [result(one, seed, hard[seed]) for seed in range(3)]
    runs += [result(two, seed, hard[seed] - 0.02) for seed in range(3)]
    comparison = Comparison("digits", "nats", tuple(runs))
    paired = comparison.paired(two, one)
    assert paired.difference.mean == pytest.approx(-0.02)
    assert paired.difference.half_width < 1e-9 < 0.5 < comparison.validation(one).half_width
    assert paired.better == 3
    assert str(paired).startswith("DoRA(rank=1) − LoRA(rank=1): -0.0200")
    with pytest.raises(ValueError, match="method must be one of"):
        comparison.of(pc.Full())


def test_a_comparison_trains_each_method_with_each_seed():
    seen = []
    methods = [pc.Full(), "dora"]
    found = pc.compare(
        "digits", methods, seeds=[3, 5], steps=6, progress=lambda m, seed, r: seen.append((m, seed, r.step))
    )
    assert [(run.method.name, run.seed) for run in found.runs] == [("full", 3), ("full", 5), ("dora", 3), ("dora", 5)]
    assert len(seen) == 4 * 7
    frame, summary = found.to_frame(), found.summary()
    assert list(frame["seed"]) == [3, 5, 3, 5]
    assert list(summary["method"]) == ["Full", "DoRA"]
    assert summary["validation"][0] == pytest.approx(frame["validation"][:2].mean())
    *_, alone = pc.finetune("digits", "dora", steps=6, seed=5)
    assert found.runs[3].validation == alone.validation


def test_a_run_that_diverged_counts_as_infinite():
    found = pc.compare("digits", ["full"], seeds=1, steps=20, learning_rate=1e3)
    assert found.runs[0].validation == math.inf
    assert "diverged" in found.runs[0].stopped


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": []}, "must not be empty"),
        ({"seeds": 0}, "seeds must be between 1"),
        ({"methods": ["lor"]}, "did you mean 'lora'"),
        ({"task": "digit"}, "did you mean 'digits'"),
        ({"steps": 0}, "steps must be between"),
    ],
)
def test_bad_input_is_answered_before_anything_is_trained(arguments, message):
    with pytest.raises(ValueError, match=message):
        pc.compare(
            **{"task": "digits", "methods": ["full"], "progress": lambda *_: pytest.fail("trained"), **arguments}
        )

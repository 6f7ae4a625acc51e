"""Magnitude and direction: closed form, the paper's formulas written out, properties, figures that reproduce."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc.geometry.correlation import correlation
from peftcalc.geometry.direction import decompose, pure_turning, random_updates


def by_the_paper(before, after, axis):
    """Equations 3 and 4 of the DoRA paper with loops; `axis` 1 takes the rows of a torch weight as neurons."""
    rows = list(zip(before, after, strict=True) if axis == 1 else zip(before.T, after.T, strict=True))
    lengths = [abs(np.linalg.norm(w) - np.linalg.norm(w0)) for w0, w in rows]
    turns = [1 - w0 @ w / np.linalg.norm(w0) / np.linalg.norm(w) for w0, w in rows]
    return sum(lengths) / len(rows), sum(turns) / len(rows)


@pytest.mark.parametrize(("norm", "axis"), [("row", 1), ("column", 0)])
def test_it_is_what_the_paper_writes(norm, axis):
    generator = np.random.default_rng(0)
    before = generator.standard_normal((7, 5))
    after = before + 0.3 * generator.standard_normal((7, 5))
    found, (magnitude, direction) = decompose(before, after, norm), by_the_paper(before, after, axis)
    assert found.magnitude_change == pytest.approx(magnitude, rel=1e-12)
    assert found.direction_change == pytest.approx(direction, rel=1e-10)
    assert len(found.turns) == len(found.relative_lengths) == (7 if axis == 1 else 5)


def test_the_paper_norm_is_one_per_output_neuron():
    """Doubling one output neuron changes one row's length and no direction; by column everything turns."""
    before = np.random.default_rng(1).standard_normal((4, 6))
    after = before.copy()
    after[2] *= 2
    by_row, by_column = decompose(before, after), decompose(before, after, norm="column")
    assert by_row.direction_change == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(by_row.relative_lengths, [0, 0, 1, 0], atol=1e-15)
    assert by_column.direction_change > 0.01


def test_relative_divides_by_the_length_before():
    before, after = [[3.0, 4.0], [0.0, 1.0]], [[6.0, 8.0], [0.0, 3.0]]
    assert decompose(before, after).magnitude_change == pytest.approx((5 + 2) / 2)
    assert decompose(before, after, relative=True).magnitude_change == pytest.approx((1 + 2) / 2)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_scaling_rows_turns_nothing_and_rotating_lengthens_nothing(seed, factor):
    generator = np.random.default_rng(seed)
    before = generator.standard_normal((5, 4))
    rotation = np.linalg.qr(generator.standard_normal((4, 4)))[0]
    assert decompose(before, before * factor).direction_change == pytest.approx(0, abs=1e-12)
    turned = decompose(before, before @ rotation)
    assert turned.magnitude_change == pytest.approx(0, abs=1e-12)
    assert 0 <= turned.turns.min() <= turned.turns.max() <= 2 + 1e-12


def test_tiny_turns_are_not_lost_to_rounding():
    """1 − cos(1e-9) is 5e-19: a dot product near 1 cannot show it."""
    change = decompose([[1.0, 0.0]], [[1.0, 1e-9]])
    assert change.direction_change == pytest.approx(5e-19, rel=1e-6)


def test_zero_rows_have_no_direction_and_give_no_nan():
    change = decompose([[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])
    assert change.turns.tolist() == [0, 0]
    assert change.relative_lengths.tolist() == [0, -1]
    assert decompose([[0.0, 0.0]], [[3.0, 4.0]]).magnitude_change == 5


def test_torch_in_low_precision_is_read_exactly():
    before, after = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert (
        decompose(before, after).direction_change == decompose(before.float(), after.float().numpy()).direction_change
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0]], [[1.0, 2.0]]), r"one shape, got \(1, 1\) and \(1, 2\)"),
        (([[1.0]], [[float("inf")]]), "after must be finite"),
        (([[1.0]], [[1.0]], "rows"), "norm must be one of row, column, got 'rows'; did you mean 'row'"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        decompose(*arguments)


def test_an_update_at_right_angles_lies_on_the_pure_turning_curve():
    turns, lengths = [], []
    for size in (0.1, 0.5, 1.0, 2.0):
        change = decompose([[1.0, 0.0]], [[1.0, size]])
        turns.append(change.turns[0])
        lengths.append(change.relative_lengths[0])
    np.testing.assert_allclose(pure_turning(turns), lengths, rtol=1e-12)
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        pure_turning([1.0])


def test_random_updates_correlate_though_nobody_trained_them():
    """The null model: pooled ΔM and ΔD of untrained rank-8 updates correlate at about +0.98 (EXPERIMENTS)."""
    x, y, groups = [], [], []
    for matrix in range(6):
        weight = np.random.default_rng(matrix).standard_normal((64, 64)) / 8
        for change in random_updates(weight, 8, [0.1, 0.2, 0.3, 0.4], seed=matrix):
            x.append(change.direction_change)
            y.append(change.magnitude_change)
            groups.append(matrix)
    assert correlation(x, y, groups).r > 0.9


def test_the_correlation_is_pearsons():
    generator = np.random.default_rng(0)
    x = generator.standard_normal(40)
    y = x + generator.standard_normal(40)
    found = correlation(x, y, [i // 4 for i in range(40)])
    assert found.r == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-12)
    assert found.low < found.r < found.high
    assert str(found).endswith("40 points from 10 matrices")


def test_copies_of_a_point_do_not_narrow_the_interval():
    """Ten checkpoints that say the same as one are no more evidence; drawing points would claim so."""
    generator = np.random.default_rng(3)
    x = generator.standard_normal(8)
    y = x + generator.standard_normal(8)
    once = correlation(x, y, list(range(8)))
    often = correlation(np.repeat(x, 10), np.repeat(y, 10), np.repeat(np.arange(8), 10).tolist())
    as_points = correlation(np.repeat(x, 10), np.repeat(y, 10), list(range(80)))
    assert often.r == pytest.approx(once.r)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-9)
    assert as_points.high - as_points.low < 0.6 * (once.high - once.low)


def test_no_variation_has_no_correlation():
    assert np.isnan(correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "abc").r)
    with pytest.raises(ValueError, match="as long as each other"):
        correlation([1.0, 2.0], [1.0], ["a", "b"])
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        correlation([1.0, 2.0], [1.0, 2.0], ["a", "b"], confidence=95)


@pytest.mark.slow
def test_on_the_digits_lora_correlates_strongly_and_dora_does_not():
    """EXPERIMENTS, rank 4, no weight decay: LoRA +0.92, DoRA −0.09; per neuron +0.66 to +0.83 and about 0."""
    from peftcalc import DoRA, LoRA, finetune

    found, by_row = {}, {}
    for method in (LoRA(rank=4, alpha=8), DoRA(rank=4, alpha=8)):
        records = list(finetune("digits", method, learning_rate=1e-2))
        changes = [change for record in records for change in record.changes]
        x, y = ([getattr(c, f"{which}_change") for c in changes] for which in ("direction", "magnitude"))
        found[method.name] = correlation(x, y, [change.matrix for change in changes])
        rows = records[-1].changes
        pairs = np.array([(t, m) for c in rows for t, m in zip(c.turns, c.relative_lengths, strict=True)])
        by_row[method.name] = np.corrcoef(pairs.T)[0, 1]
    assert found["lora"].r > 0.8
    assert found["dora"].r < found["lora"].r - 0.3
    assert by_row["lora"] > 0.5
    assert by_row["dora"] < 0.4

"""Numbers as text: always with a unit, never a false zero or hundred."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftcalc import units


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (units.count, 0, "0"),
        (units.count, 9_999, "9,999"),
        (units.count, 41_943_040, "41.9 M (41,943,040)"),
        (units.short_count, 999_999, "1 M"),
        (units.short_count, 999_999_999, "1 B"),
        (units.short_count, 1_234_567_890_123_456, "1,230 T"),
        (units.gib, 0, "0 bytes"),
        (units.gib, 1023, "1,020 bytes"),
        (units.gib, 2**30, "1 GiB"),
        (units.gb, 10**9, "1 GB"),
        (units.gb, 2**30, "1.07 GB"),
        (units.percent, 0, "0 %"),
        (units.percent, 0.0252984, "0.025 %"),
        (units.percent, 99.999, "99.999 %"),
        (units.percent, 12.3456, "12.35 %"),
        (units.seconds, 0.25, "250 ms"),
        (units.seconds, 3600, "1 h 0 min"),
    ],
)
def test_text(function, value, text):
    assert function(value) == text


@given(st.floats(1e-9, 99.0))
def test_a_share_that_is_not_nothing_never_reads_zero(value):
    assert any(digit in "123456789" for digit in units.percent(value))


@given(st.integers(0, 10**15))
def test_the_short_count_is_within_half_a_percent(value):
    text = units.short_count(value)
    number, _, unit = text.partition(" ")
    factor = {"": 1, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[unit]
    assert float(number.replace(",", "")) * factor == pytest.approx(value, rel=0.0051)

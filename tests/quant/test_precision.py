"""Every bit pattern of the 8- and 16-bit formats against torch's own conversions."""

from __future__ import annotations

import itertools
import math
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc.quant import NUMBER_FORMATS, from_bits, store

FLOATS = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
UNSIGNED = {1: torch.uint8, 2: torch.uint16}
NUMBERS = st.floats(allow_nan=False, width=32)


def all_values(name: str) -> list[float]:
    """What torch reads from every pattern of a format."""
    dtype = FLOATS[name]
    patterns = torch.arange(2 ** NUMBER_FORMATS[name].bits, dtype=torch.int32)
    return patterns.to(UNSIGNED[dtype.itemsize]).view(dtype).double().tolist()


def same(ours: float, theirs: float) -> bool:
    if math.isnan(theirs):
        return math.isnan(ours)
    return ours == theirs and math.copysign(1, ours) == math.copysign(1, theirs)


@pytest.mark.parametrize("name", FLOATS)
def test_every_pattern_is_read_as_torch_reads_it(name: str) -> None:
    wrong = [p for p, value in enumerate(all_values(name)) if not same(from_bits(p, name).value, value)]
    assert wrong == []


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("source", FLOATS)
def test_every_value_of_one_format_is_stored_in_another_as_torch_converts_it(source: str, name: str) -> None:
    values = all_values(source)
    theirs = torch.tensor(values, dtype=torch.float32).to(FLOATS[name]).double().tolist()
    wrong = [v for v, expected in zip(values, theirs, strict=True) if not same(store(v, name).value, expected)]
    assert wrong == []


@pytest.mark.parametrize("name", FLOATS)
def test_every_midpoint_and_its_neighbours_round_as_in_torch(name: str) -> None:
    """Halfway between two values, and one float32 to either side: ties go to even, the rest to the nearest."""
    finite = sorted({v for v in all_values(name) if math.isfinite(v)})
    middle = torch.tensor([(low + high) / 2 for low, high in itertools.pairwise(finite)])
    beyond = torch.tensor([finite[-1] + (finite[-1] - finite[-2]) * k / 2 for k in (0.5, 0.99, 1, 1.01, 2, 3)])
    infinity = torch.tensor(math.inf)
    asked = torch.cat((middle, beyond, -beyond)).float()
    asked = torch.cat((asked, torch.nextafter(asked, infinity), torch.nextafter(asked, -infinity)))
    theirs = asked.to(FLOATS[name]).double().tolist()
    wrong = [v for v, e in zip(asked.tolist(), theirs, strict=True) if not same(store(v, name).value, e)]
    assert wrong == []


@settings(deadline=None, derandomize=True, max_examples=500)
@given(NUMBERS, st.sampled_from(sorted(FLOATS)))
def test_any_float32_is_stored_as_torch_converts_it(number: float, name: str) -> None:
    stored = store(number, name)
    theirs = torch.tensor(number, dtype=torch.float32).to(FLOATS[name])
    assert same(stored.value, theirs.double().item())
    if not math.isnan(stored.value):
        assert stored.pattern == theirs.view(UNSIGNED[theirs.dtype.itemsize]).item()


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.floats(allow_nan=False))
def test_float32_is_the_machines_own(number: float) -> None:
    stored = store(number, "float32")
    theirs = torch.tensor(number, dtype=torch.float64).to(torch.float32)
    assert same(stored.value, theirs.double().item())
    assert stored.pattern == struct.unpack("<I", struct.pack("<f", theirs.item()))[0]


@pytest.mark.parametrize("name", FLOATS)
def test_neighbours_are_the_next_values_of_the_format(name: str) -> None:
    ordered = sorted({v for v in all_values(name) if math.isfinite(v)})
    for below, value, above in zip(ordered, ordered[1:], ordered[2:], strict=False):
        stored = store(value, name)
        assert (stored.below, stored.value, stored.above) == (below, value, above)


@pytest.mark.parametrize("name", FLOATS)
def test_range_and_epsilon_are_torchs(name: str) -> None:
    info, form = torch.finfo(FLOATS[name]), NUMBER_FORMATS[name]
    assert (form.largest, form.lowest, form.epsilon) == (info.max, info.min, info.eps)
    assert form.smallest_normal == info.smallest_normal
    assert form.bits == info.bits
    assert from_bits(1, name).value == form.smallest_subnormal


def test_the_parts_of_a_number() -> None:
    stored = store(-0.15625, "float16")  # −1.25 · 2^−3
    assert (stored.sign, stored.exponent, stored.fraction) == ("1", f"{12:05b}", "0100000000")
    assert (stored.kind, stored.error) == ("normal", 0.0)


@pytest.mark.parametrize(
    ("number", "name", "value", "kind"),
    [
        (70_000, "float16", math.inf, "infinity"),
        (-70_000, "float16", -math.inf, "infinity"),
        (70_000, "bfloat16", 70_144.0, "normal"),
        (500, "float8_e4m3fn", 448.0, "normal"),
        (-math.inf, "float8_e4m3fn", -448.0, "normal"),
        (math.nan, "float8_e4m3fn", math.nan, "nan"),
        (464, "float8_e4m3fn", 448.0, "normal"),
        (1e-8, "float16", 0.0, "zero"),
        (1e-7, "float16", 2 * 2.0**-24, "subnormal"),
        (1e39, "float32", math.inf, "infinity"),
        (-0.0, "float8_e5m2", -0.0, "zero"),
    ],
)
def test_overflow_underflow_and_subnormals(number: float, name: str, value: float, kind: str) -> None:
    stored = store(number, name)
    assert same(stored.value, value)
    assert stored.kind == kind


def test_whole_numbers_round_and_saturate() -> None:
    assert [store(v, "int8").value for v in (0.5, 1.5, 127.4, 128, -128, -500)] == [0, 2, 127, 127, -128, -128]
    stored = store(1.0, "int4", step=3.0 / 7)
    assert (stored.pattern, stored.bit_string) == (2, "0010")
    assert stored.value == pytest.approx(6 / 7)
    assert store(-1.0, "int4", step=1.0).bit_string == "1111"


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_every_whole_number_is_its_own_pattern(name: str) -> None:
    form = NUMBER_FORMATS[name]
    values = [from_bits(p, name).value for p in range(2**form.bits)]
    assert sorted(values) == list(range(int(form.lowest), int(form.largest) + 1))
    assert all(store(v, name).pattern == p for p, v in enumerate(values))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: store(1.0, "float15"), "did you mean 'float1"),
        (lambda: store(math.nan, "int8"), "number must be finite"),
        (lambda: store(1.0, "float16", step=2), "step must be left out"),
        (lambda: store(1.0, "int8", step=0), "step must be a positive number"),
        (lambda: from_bits(256, "float8_e5m2"), "pattern must be between 0 and 255"),
    ],
)
def test_bad_questions_are_answered(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()

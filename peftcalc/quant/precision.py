"""One number in several formats: its sign, exponent and fraction bits, and what is left of it.

A floating-point format with `f` fraction bits and exponent bias `b` stores

    normal     (−1)^sign · 2^(exponent − b) · (1 + fraction / 2^f)
    subnormal  (−1)^sign · 2^(1 − b) · fraction / 2^f              where the exponent bits are all zero.

A number is first rounded to float32, as weights are, and then to the format, to the nearest, ties to even. (IEEE 754;
float8: OCP 8-bit Floating Point Specification, "OFP8".) Whole-number formats store the nearest multiple of a step.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Literal

from peftcalc.checks import one_of, positive, whole_number

Kind = Literal["normal", "subnormal", "zero", "infinity", "nan", "integer"]


@dataclass(frozen=True)
class NumberFormat:
    """How a number is laid out in bits: one sign bit, then exponent, then fraction.

    Args:
        name: torch's name of the type; "int4" has none there.
        exponent_bits: 0 for whole numbers.
        fraction_bits: of a whole number the bits beside the sign.
        has_infinity: float8_e4m3fn uses those patterns for numbers, all but one, which is NaN.
    """

    name: str
    exponent_bits: int
    fraction_bits: int
    has_infinity: bool = True

    @property
    def bits(self) -> int:
        """Bits in all."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def is_integer(self) -> bool:
        """Whole numbers, in two's complement."""
        return self.exponent_bits == 0

    @property
    def bias(self) -> int:
        """What is subtracted from the stored exponent."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def first_special(self) -> int:
        """The lowest positive pattern that is not a finite number."""
        if not self.has_infinity:
            return 2 ** (self.bits - 1) - 1
        return (2**self.exponent_bits - 1) << self.fraction_bits

    @property
    def largest(self) -> float:
        """The largest finite number (of whole numbers the largest code)."""
        return 2**self.fraction_bits - 1 if self.is_integer else _value(self, self.first_special - 1)

    @property
    def lowest(self) -> float:
        """The lowest finite number."""
        return -(2**self.fraction_bits) if self.is_integer else -self.largest

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next larger number."""
        return 1.0 if self.is_integer else 2.0**-self.fraction_bits

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number with the full precision."""
        return 1.0 if self.is_integer else 2.0 ** (1 - self.bias)

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive number."""
        return 1.0 if self.is_integer else 2.0 ** (1 - self.bias - self.fraction_bits)


NUMBER_FORMATS: dict[str, NumberFormat] = {
    form.name: form
    for form in (
        NumberFormat("float32", 8, 23),
        NumberFormat("float16", 5, 10),
        NumberFormat("bfloat16", 8, 7),
        NumberFormat("float8_e4m3fn", 4, 3, has_infinity=False),
        NumberFormat("float8_e5m2", 5, 2),
        NumberFormat("int8", 0, 7),
        NumberFormat("int4", 0, 3),
    )
}


@dataclass(frozen=True)
class StoredNumber:
    """A number as one format stores it.

    Args:
        format: the format's name.
        asked: the number that was to be stored; the stored value itself where a pattern was given.
        pattern: its bits as a whole number.
        value: what is stored.
        kind: normal, subnormal, zero, infinity, nan, or integer.
        error: `value − asked`; NaN where that is not defined.
        below: the next lower value of the format, −∞ or the value itself at the end.
        above: the next higher one.
        step: of whole numbers, what a difference of one code stands for.
    """

    format: str
    asked: float
    pattern: int
    value: float
    kind: Kind
    error: float
    below: float
    above: float
    step: float = 1.0

    @property
    def layout(self) -> NumberFormat:
        """The format."""
        return NUMBER_FORMATS[self.format]

    @property
    def bit_string(self) -> str:
        """All bits, the sign first."""
        return f"{self.pattern:0{self.layout.bits}b}"

    @property
    def sign(self) -> str:
        """The sign bit."""
        return self.bit_string[0]

    @property
    def exponent(self) -> str:
        """The exponent bits; empty for whole numbers."""
        return self.bit_string[1 : 1 + self.layout.exponent_bits]

    @property
    def fraction(self) -> str:
        """The fraction bits; of whole numbers the bits beside the sign."""
        return self.bit_string[1 + self.layout.exponent_bits :]


def store(number: float, format: str, step: float | None = None) -> StoredNumber:  # noqa: A002
    """`number` as `format` stores it.

    Beyond the range a format stores infinity, or its largest number where it has no infinity: float8_e4m3fn (as torch
    2.13 converts, to 448; older releases gave NaN) and whole numbers.

    Args:
        number: any float, also infinite or NaN (not for whole numbers).
        format: a key of `NUMBER_FORMATS`.
        step: whole numbers only: what one code stands for, 1 when not given; absmax int8 has `absmax / 127`.

    Raises:
        ValueError: for another format, a step that is not positive, or NaN or infinity as a whole number.

    >>> stored = store(0.1, "float16")
    >>> stored.sign, stored.exponent, stored.fraction, stored.value
    ('0', '01011', '1001100110', 0.0999755859375)
    >>> store(70_000, "float16").value, store(1.37, "int8", step=3.0 / 127).pattern
    (inf, 58)
    """
    form = NUMBER_FORMATS[one_of("format", format, NUMBER_FORMATS)]
    number = float(number)
    if form.is_integer:
        step = positive("step", 1.0 if step is None else step)
        if not math.isfinite(number):
            raise ValueError(f"number must be finite to be stored in {format}, got {number}")
        code = round(min(max(number / step, form.lowest), form.largest))
        return _stored(form, code & (2**form.bits - 1), number, step)
    if step is not None:
        raise ValueError(f"step must be left out for {format}; it belongs to whole numbers")
    return _stored(form, _pattern(form, _float32(number)), number)


def from_bits(pattern: int, format: str, step: float = 1.0) -> StoredNumber:  # noqa: A002
    """The number that a pattern of bits stands for.

    >>> from_bits(0b0_01111_0000000001, "float16").value
    1.0009765625
    """
    form = NUMBER_FORMATS[one_of("format", format, NUMBER_FORMATS)]
    pattern = whole_number("pattern", pattern, 0, 2**form.bits - 1)
    return _stored(form, pattern, None, positive("step", step))


def _stored(form: NumberFormat, pattern: int, asked: float | None, step: float = 1.0) -> StoredNumber:
    value = _value(form, pattern) * step
    asked = value if asked is None else asked
    below, above = _neighbours(form, pattern)
    error = 0.0 if value == asked else value - asked
    return StoredNumber(form.name, asked, pattern, value, _kind(form, pattern), error, below * step, above * step, step)


def _float32(number: float) -> float:
    """The nearest float32; infinity beyond its range."""
    try:
        return struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)


def _pattern(form: NumberFormat, number: float) -> int:
    """Nearest pattern, ties to even. Rounding up past the largest fraction carries into the exponent by itself."""
    sign = (math.copysign(1.0, number) < 0) << (form.bits - 1)
    if math.isnan(number):
        quiet = 2 ** (form.fraction_bits - 1) if form.has_infinity else 0
        return sign | form.first_special | quiet
    overflow = form.first_special if form.has_infinity else form.first_special - 1
    size = abs(number)
    if size == 0 or math.isinf(size):
        return sign | (overflow if size else 0)
    exponent = max(math.frexp(size)[1] - 1, 1 - form.bias)
    steps = round(math.ldexp(size, form.fraction_bits - exponent))  # exact: scaling by a power of two
    pattern = ((exponent + form.bias - 1) << form.fraction_bits) + steps
    return sign | min(pattern, overflow)


def _value(form: NumberFormat, pattern: int) -> float:
    """The number of a pattern: exact, as every format here fits into a Python float."""
    if form.is_integer:
        return float(pattern - 2**form.bits if pattern >> form.fraction_bits else pattern)
    size = pattern & (2 ** (form.bits - 1) - 1)
    sign = -1.0 if pattern >> (form.bits - 1) else 1.0
    if size >= form.first_special:
        return sign * math.inf if form.has_infinity and size == form.first_special else math.nan
    exponent, fraction = size >> form.fraction_bits, size & (2**form.fraction_bits - 1)
    if exponent:
        fraction += 2**form.fraction_bits
    return sign * math.ldexp(fraction, max(exponent, 1) - form.bias - form.fraction_bits)


def _kind(form: NumberFormat, pattern: int) -> Kind:
    if form.is_integer:
        return "integer"
    size = pattern & (2 ** (form.bits - 1) - 1)
    if size >= form.first_special:
        return "nan" if math.isnan(_value(form, pattern)) else "infinity"
    if size == 0:
        return "zero"
    return "normal" if size >> form.fraction_bits else "subnormal"


def _neighbours(form: NumberFormat, pattern: int) -> tuple[float, float]:
    """The next lower and the next higher value."""
    value = _value(form, pattern)
    if form.is_integer:
        return max(value - 1, form.lowest), min(value + 1, form.largest)
    if math.isnan(value):
        return math.nan, math.nan
    size = pattern & (2 ** (form.bits - 1) - 1)
    if size == 0:
        return -form.smallest_subnormal, form.smallest_subnormal
    last = form.first_special if form.has_infinity else form.first_special - 1
    toward_zero, away = _value(form, size - 1), _value(form, min(size + 1, last))
    return (toward_zero, away) if value > 0 else (-away, -toward_zero)

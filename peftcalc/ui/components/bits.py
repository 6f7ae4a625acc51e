"""One number's sign, exponent and fraction in every format, each bit to be clicked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from peftcalc.checks import one_of
from peftcalc.quant.precision import NUMBER_FORMATS
from peftcalc.ui.components.mount import mount
from peftcalc.ui.components.parts import Number, Parts, State, Written

LARGEST_WEIGHT = 1e6


def bits(
    number: float = 0.1,
    *,
    absmax: float = 3.0,
    formats: Sequence[str] = tuple(NUMBER_FORMATS),
    key: str = "bits",
    start: State | None = None,
    link: bool = True,
) -> State:
    """Show how each format stores a number.

    Args:
        number: at first; also infinite or NaN.
        absmax: the largest weight that the whole-number formats must hold, at first: their step is it / largest code.
        formats: keys of `NUMBER_FORMATS`, a row each in this order.
        key, start, link: as for `mount`.

    Returns:
        What the visitor moved: "x", the number as text, and "absmax".

    Raises:
        ValueError: an unknown format, or a largest weight that is not positive.
    """
    data = bits_data(number, absmax=absmax, formats=formats)
    return mount("bits", data, bits_parts(data), key, start=start, link=link)


def bits_data(
    number: float = 0.1, *, absmax: float = 3.0, formats: Sequence[str] = tuple(NUMBER_FORMATS)
) -> dict[str, Any]:
    """What the view shows, checked; also for a page without a server (`mount.payload`)."""
    return {
        "x": written(number),
        "absmax": Number(1e-6, LARGEST_WEIGHT).checked("absmax", absmax),
        "formats": [one_of("format", name, NUMBER_FORMATS) for name in formats],
    }


def bits_parts(data: dict[str, Any]) -> Parts:
    """What can be moved."""
    return {"x": Written(), "absmax": Number(1e-6, LARGEST_WEIGHT)}


def written(number: float) -> str:
    """A number as the view and a link write it.

    >>> written(0.1), written(-0.0), written(70_000), written(float("-inf")), written(1e-45)
    ('0.1', '-0', '70000', '-inf', '1e-45')
    """
    number = float(number)
    text = repr(number)
    return text.removesuffix(".0") if math.isfinite(number) else text

"""Bad input is answered at the border: one sentence with the value, the allowed range and the nearest name."""

from __future__ import annotations

import difflib
import operator
import sys
from collections.abc import Iterable
from typing import Any


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int between `low` and `high`, or a ValueError that quotes it.

    >>> whole_number("rank", 8.0, 1, 64)
    8
    """
    whole = _as_whole(value)
    if whole is None:
        raise ValueError(f"{name} must be a whole number between {low:,} and {high:,}, got {value!r}")
    if not low <= whole <= high:
        raise ValueError(f"{name} must be between {low:,} and {high:,}, got {whole:,}")
    return whole


def _as_whole(value: Any) -> int | None:
    """Python's and numpy's integers, and floats without a fraction; None for anything else, booleans included."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    return operator.index(value)


def positive(name: str, value: Any) -> float:
    """`value` if it is a finite number above zero, or a ValueError that quotes it.

    >>> positive("alpha", 16)
    16
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= sys.float_info.max:
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return value


def names(name: str, value: Any, what: str, allow_empty: bool = False) -> tuple[str, ...]:
    """A collection of names as a tuple, or a ValueError that quotes it.

    >>> names("targets", ["q_proj", "v_proj"], "module")
    ('q_proj', 'v_proj')
    """
    if isinstance(value, str):  # a word would be taken for its letters
        if value.strip():
            raise ValueError(f"{name} must be a list of {what} names, got the text {value!r}")
        raise ValueError(f"{name} must name at least one {what}, got an empty string")
    found = tuple(listed(name, value, f"{what} names")) if value is not None else ()
    if any(not isinstance(n, str) or not n.strip() for n in found):
        raise ValueError(f"{name} must be {what} names, got {value!r}")
    if not found and not allow_empty:
        raise ValueError(f"{name} must name at least one {what}, got {value!r}")
    return found


def listed(name: str, value: Any, what: str) -> list[Any]:
    """What a collection holds, or a ValueError that quotes what is none.

    >>> listed("seeds", range(2), "whole numbers")
    [0, 1]
    """
    try:
        return list(value)
    except TypeError:
        raise ValueError(f"{name} must be {what}, got {value!r}") from None


def flag(name: str, value: Any) -> bool:
    """`value` as True or False, numpy's among them, or a ValueError that quotes it.

    >>> flag("rslora", True)
    True
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def nearest(value: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` of the choices that are spelled most like `value`, ignoring case.

    >>> nearest("qpro", ["q_proj", "v_proj", "lm_head"], 1)
    ['q_proj']
    """
    by_lower = {choice.lower(): choice for choice in choices}
    return [by_lower[match] for match in difflib.get_close_matches(str(value).lower(), by_lower, count, cutoff=0.5)]


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """`value` if it is one of the choices, or a ValueError that lists them and offers the nearest.

    >>> one_of("quant", "nf5", ["nf4", "fp4"])
    Traceback (most recent call last):
    ValueError: quant must be one of nf4, fp4, got 'nf5'; did you mean 'nf4'?
    """
    choices = list(choices)
    if value in choices:
        return value
    near = nearest(value, choices, 1) if isinstance(value, str) else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}{hint}")

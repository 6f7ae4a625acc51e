"""The only place where numbers become text: bytes, counts, percentages, durations, and what JSON can hold of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

_COUNT_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_DECIMAL_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_BINARY_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))

GIB = 2**30


def _scaled(value: float, units: tuple[tuple[float, str], ...], last: str) -> str:
    """Three significant figures with the unit in which the number lies between 1 and 1000."""
    for index, (size, unit) in enumerate(units):
        if abs(value) >= size:
            digits = f"{value / size:.3g}"
            if digits in ("1e+03", "-1e+03") and index > 0:  # 999.9996 M reads 1 B
                return _scaled(units[index - 1][0] * (1 if value > 0 else -1), units, last)
            return f"{float(digits):,.10g}{' ' if unit else ''}{unit}"
    return f"{float(f'{value:.3g}'):,.10g}{' ' if last else ''}{last}"


def short_count(value: float) -> str:
    """A count in three figures.

    >>> short_count(41_943_040), short_count(8_072_204_288), short_count(999)
    ('41.9 M', '8.07 B', '999')
    """
    return _scaled(value, _COUNT_UNITS, "")


def count(value: int) -> str:
    """A count, short and exact.

    >>> count(41_943_040), count(512)
    ('41.9 M (41,943,040)', '512')
    """
    return f"{short_count(value)} ({value:,})" if abs(value) >= 10_000 else f"{value:,}"


def gib(value: float) -> str:
    """Bytes in binary units, as GPU tools count memory.

    >>> gib(22_292_725_760), gib(512)
    ('20.8 GiB', '512 bytes')
    """
    return _scaled(value, _BINARY_UNITS, "bytes")


def between(low: float, high: float) -> str:
    """A range of bytes in binary units, the unit once where both have it.

    >>> between(2**30, 3 * 2**30), between(512, 2**30), between(2**30, 2**30)
    ('1 to 3 GiB', '512 bytes to 1 GiB', '1 GiB')
    """
    first, last = gib(low), gib(high)
    if first == last:
        return last
    number, _, unit = first.partition(" ")
    return f"{number if last.endswith(unit) else first} to {last}"


def gb(value: float) -> str:
    """Bytes in decimal units, as disks and downloads are sold.

    >>> gb(22_292_725_760)
    '22.3 GB'
    """
    return _scaled(value, _DECIMAL_UNITS, "bytes")


def percent(value: float) -> str:
    """A percentage with at least two significant figures, never rounded to a bare zero or to a false 100.

    >>> percent(0.51959), percent(0.0000123), percent(100.0)
    ('0.52 %', '0.000012 %', '100 %')
    """
    if value == 0 or value >= 10:
        text = f"{value:.4g}"
        if text == "100" and value != 100:
            text = f"{value:.8g}"
    elif value >= 0.1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.10f}"
        first = next((i for i, c in enumerate(text) if c not in "0."), len(text) - 1)
        text = text[: first + 2]
    return f"{text} %"


def seconds(value: float) -> str:
    """A duration in the unit in which people say it.

    >>> seconds(0.0034), seconds(12.34), seconds(95), seconds(7300)
    ('3.4 ms', '12.3 s', '1 min 35 s', '2 h 1 min')
    """
    if value < 1:
        return f"{value * 1000:.2g} ms" if value * 1000 < 100 else f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.3g} s"
    if value < 3600:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{int(value // 3600)} h {int(value % 3600 // 60)} min"


def moment(value: float) -> str:
    """Seconds of the Unix epoch for people, in this machine's time; what no calendar has is unknown.

    >>> len(moment(0.0)), moment(1e18), moment(math.nan)
    (16, 'an unknown time', 'an unknown time')
    """
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(value))
    except (ValueError, OverflowError, OSError):
        return "an unknown time"


def python_literal(value: Any) -> str:
    """A value as Python code, with double quotes as formatters write them.

    >>> print(python_literal("Japan"), python_literal(["q_proj"]), python_literal(0.5))
    "Japan" ["q_proj"] 0.5
    """
    text = repr(value)
    return text.replace("'", '"') if '"' not in text else text


def for_json(value: Any) -> Any:
    """The value as JSON can hold it: tuples become lists; NaN and infinity, which JSON does not have, become null.

    >>> for_json({"loss": float("inf"), "shape": (2, 3.5)})
    {'loss': None, 'shape': [2, 3.5]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: for_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [for_json(item) for item in value]
    return value

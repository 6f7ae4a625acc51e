"""Numbers as few bytes of text, for the browser.

No torch here: the server of the pages packs too, and torch would take it seconds to load.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

Packed = list[Any]
"""A scale, and base64 of whole numbers from −127 to 127 that it multiplies, row by row; with 16 bits ± 32767."""


def packed(values: Any, bits: int = 8) -> Packed:
    """Numbers as a scale and codes.

    >>> packed([0.5, -1.0, 0.0])
    [0.007874, 'QIEA']
    """
    numbers = np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=0.0, neginf=0.0)
    top = 2 ** (bits - 1) - 1
    scale = float(f"{np.abs(numbers).max(initial=0.0) / top:.4g}")
    codes = np.rint(numbers / scale).clip(-top, top) if scale else np.zeros_like(numbers)
    return [scale, base64.b64encode(codes.astype("i1" if bits == 8 else "<i2").tobytes()).decode()]

"""What the Quantization page computes: the visitor's choice of numbers, and what each format makes of them.

Results are cached by the choice, which is small; the numbers themselves are passed beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from peftcalc.quant.compared.formats import VARIANTS, Measured, Picture, measured, window
from peftcalc.quant.compared.formats import picture as drawn
from peftcalc.quant.compared.work import picture_from_json, row_from_json
from peftcalc.ui import background

LARGEST_FILE_MB = 5
BLOCKS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
MOST_HERE = 1 << 18
"""Numbers that are quantized in the app's own process, in less than a fifth of a second; more of them in a worker."""


@dataclass(frozen=True)
class Choice:
    """The numbers that a visitor chose: a kind, and whatever of the rest belongs to it."""

    kind: str
    count: int = 0
    outlier_size: float = 0.0
    outliers: int = 0
    seed: int = 0
    matrix: str = ""
    digest: str = ""
    file: str = ""


@st.cache_resource(max_entries=12, show_spinner=False)
def gaussian_values(choice: Choice) -> np.ndarray:
    """A square matrix of normal numbers, with outliers where the choice has any."""
    from peftcalc.quant.samples import gaussian

    side = math.isqrt(choice.count)
    return gaussian(choice.count, choice.outlier_size, choice.outliers, choice.seed).reshape(side, -1)


@st.cache_resource(show_spinner="Reading the trained model …")
def trained_layers() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each linear layer of the shipped text model: its weight (out, in), and its inputs on real text, (tokens, in)."""
    from peftcalc.lab.tasks import trained_layers as shipped

    return shipped.trained_layers()


@st.cache_data(max_entries=600, show_spinner=False)
def measure(choice: Choice, label: str, block_size: int, _values: Any, _inputs: Any = None) -> Measured:
    """What the variant loses on all the numbers."""
    return measured(_values, VARIANTS[label], block_size, _inputs)


@st.cache_data(max_entries=1200, show_spinner=False)
def measure_window(choice: Choice, label: str, block_size: int, _window: Any) -> tuple[float, float]:
    """(bits a number, RMSE) on the window only: one point of the trade-off curve."""
    found = measured(_window, VARIANTS[label], block_size)
    return found.bits_per_value, found.rmse


@st.cache_data(max_entries=300, show_spinner=False)
def picture(choice: Choice, label: str, block_size: int, _window: Any) -> Picture:
    """Histogram, code points, and where the error lies, on the window."""
    return drawn(_window, VARIANTS[label], block_size)


@dataclass(frozen=True)
class Compared:
    """Everything that the page shows of some numbers.

    Attributes:
        rows: a format each, the best first.
        pictures: by variant.
        points: (bits a number, RMSE) on the window, by variant and block size.
    """

    rows: tuple[Measured, ...]
    pictures: dict[str, Picture]
    points: dict[tuple[str, int], tuple[float, float]]


def compared(
    choice: Choice, values: Any, inputs: Any, block: int, sizes: Mapping[str, Sequence[int]], content: bytes | None
) -> Compared:
    """What every variant of `sizes` makes of the numbers; many of them are quantized in a worker process.

    Args:
        choice: the numbers.
        values, inputs: they, and the inputs of a layer.
        block: the block size.
        sizes: the block sizes of each variant's curve.
        content: the visitor's file, where the numbers are from one.

    Raises:
        ValueError: the sentence of numbers that cannot be quantized, or of a worker that ended.
    """
    if content is not None or (choice.count > MOST_HERE and not choice.matrix):
        return _in_a_worker(choice, block, sizes, content)
    shown = window(values)
    rows = [measure(choice, label, block, values, inputs) for label in sizes]
    return Compared(
        tuple(sorted(rows, key=lambda row: row.rmse)),
        {label: picture(choice, label, block, shown) for label in sizes},
        {
            (label, size): measure_window(choice, label, size, shown)
            for label, curve in sizes.items()
            for size in {*curve, block}
        },
    )


def _in_a_worker(choice: Choice, block: int, sizes: Mapping[str, Sequence[int]], content: bytes | None) -> Compared:
    parameters = {"block": block, "sizes": {label: [*curve] for label, curve in sizes.items()}}
    if content is None:
        numbers = (choice.count, choice.outlier_size, choice.outliers, choice.seed)
        parameters |= {"gaussian": numbers}
    else:
        parameters |= {"file": choice.file, "tensor": choice.matrix, "digest": choice.digest}
    files = {} if content is None else {"content": content}
    return background.remembered("compare_formats", parameters, _compared, "Quantizing the numbers …", files)


def _compared(made: background.Made) -> Compared:
    found = made.record
    return Compared(
        tuple(row_from_json(row) for row in found["rows"]),
        {label: picture_from_json(told) for label, told in found["pictures"].items()},
        {(label, size): (bits, rmse) for label, size, bits, rmse in found["points"]},
    )

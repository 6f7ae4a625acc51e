"""What the Quantization page computes: the visitor's choice of numbers, and what each format makes of them.

Results are kept by the choice, which is small: `functools.lru_cache`, since `st.cache_data` takes a millisecond for
what it has, and the curve alone asks for twenty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

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


@lru_cache(maxsize=12)
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


def numbers_of(choice: Choice) -> tuple[np.ndarray, np.ndarray | None]:
    """The numbers of a choice that is no file, and the inputs of a layer."""
    return trained_layers()[choice.matrix] if choice.matrix else (gaussian_values(choice), None)


@lru_cache(maxsize=600)
def measure(choice: Choice, label: str, block_size: int) -> Measured:
    """What the variant loses on all the numbers."""
    values, inputs = numbers_of(choice)
    return measured(values, VARIANTS[label], block_size, inputs)


@lru_cache(maxsize=1200)
def measure_window(choice: Choice, label: str, block_size: int) -> tuple[float, float]:
    """(bits a number, RMSE) on the window only: one point of the trade-off curve."""
    found = measured(window(numbers_of(choice)[0]), VARIANTS[label], block_size)
    return found.bits_per_value, found.rmse


@lru_cache(maxsize=300)
def picture(choice: Choice, label: str, block_size: int) -> Picture:
    """Histogram, code points, and where the error lies, on the window."""
    return drawn(window(numbers_of(choice)[0]), VARIANTS[label], block_size)


@dataclass(frozen=True)
class Compared:
    """Everything that the page shows of some numbers.

    Attributes:
        labels: of the variants, in the order of the choice.
        rows: a format each, the best first.
        pictures: called for the pictures, by variant.
        points: called for (bits a number, RMSE) on the window, by variant and block size.
    """

    labels: tuple[str, ...]
    rows: tuple[Measured, ...]
    pictures: Callable[[], dict[str, Picture]]
    points: Callable[[], dict[tuple[str, int], tuple[float, float]]]


def compared(choice: Choice, block: int, sizes: Mapping[str, Sequence[int]], content: bytes | None) -> Compared:
    """What every variant of `sizes` makes of the numbers; many of them are quantized in a worker process.

    Args:
        choice: the numbers.
        block: the block size.
        sizes: the block sizes of each variant's curve.
        content: the visitor's file, where the numbers are from one.

    Raises:
        ValueError: the sentence of numbers that cannot be quantized, or of a worker that ended.
    """
    if content is not None or (choice.count > MOST_HERE and not choice.matrix):
        return _in_a_worker(choice, block, sizes, content)
    rows = [measure(choice, label, block) for label in sizes]

    def pictures() -> dict[str, Picture]:
        return {label: picture(choice, label, block) for label in sizes}

    def points() -> dict[tuple[str, int], tuple[float, float]]:
        chosen = [(label, size) for label, curve in sizes.items() for size in {*curve, block}]
        return {(label, size): measure_window(choice, label, size) for label, size in chosen}

    return Compared(tuple(sizes), tuple(sorted(rows, key=lambda row: row.rmse)), pictures, points)


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
    pictures = {label: picture_from_json(told) for label, told in found["pictures"].items()}
    points = {(label, size): (bits, rmse) for label, size, bits, rmse in found["points"]}
    rows = tuple(row_from_json(row) for row in found["rows"])
    return Compared(tuple(pictures), rows, lambda: pictures, lambda: points)

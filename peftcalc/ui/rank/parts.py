"""The change to be learned as a picture: a matrix is the sum of as many independent parts as it has ranks."""

from __future__ import annotations

import functools
import io
from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from PIL import Image  # Streamlit brings it

from peftcalc.geometry.rank_bound import known_floor
from peftcalc.plots.style import SIGNED, THEMES
from peftcalc.ui.lessons import rank as data

SIZE = 16
"""Rows and columns of the matrices that are drawn."""
ASKED = 3
"""The rank that the question is about, of a change of four equal parts."""


@functools.lru_cache(maxsize=16)
def as_a_sum(teacher_rank: int, spectrum: str, theme: str, asked: bool) -> str:
    """The matrix = its parts, each with its share of the energy; without where that is asked: ASKED of them framed.

    Args:
        teacher_rank, spectrum: of the change.
        theme: "light" or "dark".
        asked: whether this is the change that the question is about.
    """
    _, B, A = data.teacher_factors(teacher_rank, spectrum, SIZE)
    each = [np.outer(B[:, place], A[place]) for place in range(teacher_rank)]
    most = float(max(np.abs(B @ A).max(), *(np.abs(one).max() for one in each)))
    shares = (-np.diff(known_floor(teacher_rank, spectrum)))[:teacher_rank]
    pictures = [_picture(part, most, theme, f"Part {place} of the change") for place, part in enumerate(each, 1)]
    drawn = [
        f"<div>{picture}<b>part {place}</b>{'' if asked else f'<span>{share:.0%}</span>'}</div>"
        for place, (picture, share) in enumerate(zip(pictures, shares, strict=True), 1)
    ]
    change = _picture(B @ A, most, theme, "The change to be learned")
    whole = f'<div class="whole">{change}<b>the change</b></div><i>=</i>'
    side = 5.6 if teacher_rank <= 4 else 3.4
    parts = _framed(drawn) if asked else "<i>+</i>".join(drawn)
    return f'<div class="sum" style="--side:{side}rem">{whole}{parts}</div>'


def _framed(drawn: Sequence[str]) -> str:
    """The parts for which a rank has room in a frame, the others in a dashed one."""
    inside, outside = ("<i>+</i>".join(some) for some in (drawn[:ASKED], drawn[ASKED:]))
    return (
        f'<div class="fits"><strong>LoRA of rank {ASKED} has room for {ASKED}</strong>{inside}</div><i>+</i>'
        f'<div class="fits ahead"><strong>no room</strong>{outside}</div>'
    )


def places(asked: bool) -> str:
    """Where the answer comes: an empty place for each rank, the asked one marked."""
    marked = {ASKED: ' class="asked"'} if asked else {}
    boxes = [f"<li{marked.get(rank, '')}><i>?</i>rank {rank}</li>" for rank in data.KNOWN_RANKS]
    return f'<ul class="places">{"".join(boxes)}</ul>'


def _picture(matrix: np.ndarray, most: float, theme: str, alt: str) -> str:
    """Orange above zero, blue below, deeper the larger."""
    ground, below, above = (_rgb(color) for color in (THEMES[theme].background, SIGNED["below"], SIGNED["above"]))
    depth = np.sqrt(np.abs(matrix) / most)[:, :, None]  # what is weak is seen, too
    colors = ground + depth * (np.where(matrix[:, :, None] < 0, below, above) - ground)
    file = io.BytesIO()
    Image.fromarray(colors.round().astype(np.uint8)).save(file, "PNG")
    return f'<img alt="{alt}" src="data:image/png;base64,{b64encode(file.getvalue()).decode()}">'


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)], dtype=float)

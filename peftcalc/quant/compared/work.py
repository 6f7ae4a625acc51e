"""The kinds of work that this room offers to a queue: many numbers in many formats, a stranger's file among them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from peftcalc.bounded_memory import bound_memory
from peftcalc.quant.compared.formats import VARIANTS, Measured, Picture, measured, picture, window
from peftcalc.quant.compared.upload import read_upload


def compare_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """What each format makes of the numbers, as one JSON object: `rows`, `pictures`, `points`.

    Args:
        parameters: `block`, the block size; `sizes`, the block sizes of each variant's curve; and either `gaussian`,
            the arguments of `peftcalc.quant.samples.gaussian`, or `files` (the folder in which `content` lies),
            `file` (its name) and `tensor`.
        folder: not used.

    Raises:
        ValueError: numbers that no format takes.
    """
    del folder
    yield 0, 0.0, []
    bound_memory()
    values, block, sizes = _numbers(parameters), parameters["block"], parameters["sizes"]
    shown = window(values)
    rows, pictures, points = [], {}, []
    for step, (label, curve) in enumerate(sizes.items(), 1):
        variant = VARIANTS[label]
        rows.append(asdict(measured(values, variant, block)))
        pictures[label] = picture_to_json(picture(shown, variant, block))
        for size in {*curve, block}:
            found = measured(shown, variant, size)
            points.append((label, size, found.bits_per_value, found.rmse))
        yield step, step / (len(sizes) + 1), []
    rows.sort(key=lambda row: row["rmse"])
    yield len(sizes) + 1, 1.0, [{"rows": rows, "pictures": pictures, "points": points}]


def _numbers(parameters: Mapping[str, Any]) -> Any:
    if "gaussian" in parameters:
        from peftcalc.quant.samples import gaussian

        count, *rest = parameters["gaussian"]
        return gaussian(count, *rest).reshape(math.isqrt(count), -1)
    content = Path(parameters["files"], "content").read_bytes()
    return read_upload(parameters["file"], content)[parameters["tensor"]]


def picture_to_json(shown: Picture) -> dict[str, Any]:
    """A picture with lists in place of arrays."""
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(shown).items()}


def picture_from_json(told: Mapping[str, Any]) -> Picture:
    """The picture that `picture_to_json` wrote."""
    own: dict[str, Any] = {name: np.array(value) if isinstance(value, list) else value for name, value in told.items()}
    return Picture(**own)


def row_from_json(told: Mapping[str, Any]) -> Measured:
    """A row as it was: JSON has no infinity, which is the ratio of signal to noise where nothing is lost."""
    return Measured(**{**told, "sqnr_db": math.inf if told["sqnr_db"] is None else told["sqnr_db"]})


KINDS = {"compare_formats": compare_job}

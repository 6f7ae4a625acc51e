"""The text that the character models read: where it comes from, how it is split, and how it becomes rows of a batch."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from peftcalc.checks import one_of
from peftcalc.lab.character_model import encode

DATA = Path(__file__).parents[1] / "data"

HELD_OUT = ("Japan", "Finland", "Poland", "Turkey", "Hungary", "Vietnam", "Greece")
"""Countries whose names the pretrained model has never seen."""


@cache
def names_by_country() -> dict[str, tuple[str, ...]]:
    """City names of the world by country, in plain letters (GeoNames, CC BY 4.0; see `data/ATTRIBUTION.md`)."""
    lines = gzip.decompress((DATA / "names.txt.gz").read_bytes()).decode("ascii").split("\n")
    return {country: tuple(names) for country, *names in (line.split("\t") for line in lines)}


@cache
def world_names() -> tuple[str, ...]:
    """Names of the countries that are not held out, each once, without any that a held-out country has too."""
    countries = names_by_country()
    reserved = {name for country in HELD_OUT for name in countries[country]}
    return tuple(sorted({n for c, names in countries.items() if c not in HELD_OUT for n in names} - reserved))


def country_names(country: str) -> tuple[str, ...]:
    """The names of one held-out country, none of which occurs in the pretraining names.

    >>> country_names("Finland")[:3]
    ('Aanekoski', 'Anjala', 'East Helsinki')
    """
    return names_by_country()[one_of("country", country, HELD_OUT)]


@cache
def corpus(name: str) -> str:
    """One of the bundled texts: "docstrings" or "source", both from Python's standard library, in printable ASCII."""
    file = DATA / f"{one_of('corpus', name, ('docstrings', 'source'))}.txt.gz"
    return gzip.decompress(file.read_bytes()).decode("ascii")


def split(items: Sequence[str], held_out: float = 0.15, seed: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The items in random order as training and held-out parts; a seed always gives the same split.

    >>> split("abcdef", held_out=0.34)
    (('d', 'a', 'b', 'e'), ('c', 'f'))
    """
    order: list[int] = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
    first = round(len(items) * held_out)
    return tuple(items[i] for i in order[first:]), tuple(items[i] for i in order[:first])


def pack(names: tuple[str, ...], rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Rows of `length + 1` codes, each a newline and then randomly drawn names that end in newlines.

    Packed rows waste nothing on padding. The names of a row are independent of each other.
    """
    most = length // 3 + 2
    drawn = torch.randint(len(names), (rows, most), generator=generator).tolist()
    texts = ("\n" + "\n".join(names[i] for i in row) for row in drawn)
    return torch.stack([encode(text[: length + 1].ljust(length + 1, "\n")) for text in texts])


def windows(codes: Tensor, rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Random windows of `length + 1` consecutive codes of a text, shape `(rows, length + 1)`."""
    starts = torch.randint(len(codes) - length - 1, (rows,), generator=generator)
    return codes[starts[:, None] + torch.arange(length + 1)]


def in_order(codes: Tensor, length: int, rows: int | None = None) -> Tensor:
    """Consecutive windows that overlap by the one code between input and target: every code is predicted once."""
    count = (len(codes) - 1) // length
    count = min(count, rows) if rows else count
    return codes[torch.arange(count)[:, None] * length + torch.arange(length + 1)]

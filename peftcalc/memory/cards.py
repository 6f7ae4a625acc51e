"""The cards that people fine-tune on: their memory, what of it PyTorch can use, and their bandwidth.

`usable` is what PyTorch names as the card's total capacity, before anything runs on it: less than the number on the
box, since the driver and error correction keep a part. It varies by about one per cent with the driver. Where
`usable_source` is given, it is a public message of that card; elsewhere it is the figure usually printed.

Whether a card multiplies in bfloat16 stands in a table of its own beside its architecture: NVIDIA's from compute
capability 8.0 on (CUDA C++ Programming Guide, "Compute Capabilities": `__nv_bfloat16`), AMD's from gfx90a on.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from peftcalc.checks import nearest
from peftcalc.lazy import explained
from peftcalc.units import GIB

if TYPE_CHECKING:
    from pandas import DataFrame

TABLE = Path(__file__).parent / "data" / "gpus.csv"
ARCHITECTURES = Path(__file__).parent / "data" / "compute_capability.csv"


@dataclass(frozen=True)
class Gpu:
    """One card.

    >>> gpu("V100 16GB").memory_bytes // 2**30
    16
    """

    name: str
    kind: str
    """"consumer", "workstation" or "data centre"."""
    memory_bytes: int
    """As on the box, in binary gigabytes (NVIDIA's 141 GB H200 and 180 GB B200 count likewise)."""
    usable_bytes: int
    """The total capacity that PyTorch reports."""
    bandwidth: int
    """Bytes a second between the card's memory and its processors, from the data sheet."""
    where: str
    """Where it can be had for a while, such as "Colab (free) and Kaggle"; empty when nowhere in particular."""
    source: str
    usable_source: str
    """A public message that shows `usable_bytes`; empty when it is the usual figure without one."""
    architecture: str
    """NVIDIA's compute capability ("8.6"), or AMD's name ("gfx942")."""
    bfloat16: bool
    """True when the card has bfloat16 in hardware."""

    @property
    def dtype(self) -> str:
        """The half precision to train in: "bfloat16" where the card has it, else "float16".

        >>> gpu("T4").dtype, gpu("RTX 3060 12GB").dtype
        ('float16', 'bfloat16')
        """
        return "bfloat16" if self.bfloat16 else "float16"

    def precision_note(self, dtype: str) -> str:
        """What a reader must know of a step in this type on this card; empty where the card has it.

        >>> gpu("T4").precision_note("float16")
        'T4 has no bfloat16: the step is counted in float16, which takes the same bytes'
        """
        if self.bfloat16 or dtype == "float32":
            return ""
        said = "the step is counted in float16" if dtype == "float16" else "choose float16"
        return f"{self.name} has no bfloat16: {said}, which takes the same bytes"


@cache
def all_gpus() -> tuple[Gpu, ...]:
    """Every card of the table, consumer cards first, by memory within a kind's order of the file."""
    made = {row["name"]: row for row in _rows(ARCHITECTURES)}
    return tuple(
        Gpu(
            name=row["name"],
            kind=row["kind"],
            memory_bytes=int(row["memory_gib"]) * GIB,
            usable_bytes=int(float(row["usable_gib"]) * GIB),
            bandwidth=int(row["bandwidth_gb_s"]) * 10**9,
            where=row["where"],
            source=row["source"],
            usable_source=row["usable_source"],
            architecture=made[row["name"]]["architecture"],
            bfloat16=made[row["name"]]["bfloat16"] == "yes",
        )
        for row in _rows(TABLE)
    )


def gpu(name: str | Gpu) -> Gpu:
    """The card called `name`; case, spaces, hyphens and the maker's name do not matter.

    Raises:
        ValueError: an unknown or ambiguous name, with the nearest ones.

    >>> gpu("nvidia rtx4090").name, gpu("a100-80gb").name
    ('RTX 4090', 'A100 80GB')
    """
    if isinstance(name, Gpu):
        return name
    wanted, cards = _key(str(name)), _by_key()
    if wanted in cards:
        return cards[wanted]
    partial = [card for key, card in cards.items() if wanted and (key.startswith(wanted) or key == f"rtx{wanted}")]
    exact = [card for card in partial if _key(card.name) in (f"rtx{wanted}", f"gtx{wanted}")]
    if len(exact) == 1 or len(partial) == 1:
        return (exact or partial)[0]
    near = [card.name for card in partial[:4]] or nearest(str(name), [card.name for card in all_gpus()], 4)
    some = ("T4", "V100 16GB", "RTX 3060 12GB", "RTX 4090", "A100 80GB")
    hint = f"; nearest: {', '.join(near)}" if near else f"; among the {len(cards)} known are {', '.join(some)}"
    raise ValueError(f"no GPU called {str(name)!r}{hint}")


def gpus() -> DataFrame:
    """The table of cards: one row a card, index = name; bytes, and bytes a second for the bandwidth.

    >>> int(gpus().loc["T4", "memory_bytes"]) // 2**30
    16
    """
    with explained("the cards as a table"):
        import pandas as pd

    return pd.DataFrame([card.__dict__ for card in all_gpus()]).set_index("name")


@cache
def _by_key() -> dict[str, Gpu]:
    return {_key(card.name): card for card in all_gpus()}


def _rows(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


def _key(name: str) -> str:
    """Lower case, without spaces, hyphens and makers' names."""
    words = name.lower().replace("-", " ").replace("_", " ").split()
    return "".join(word for word in words if word not in ("nvidia", "amd", "geforce", "tesla", "instinct", "quadro"))

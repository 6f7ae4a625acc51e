"""Races that a script has run and stored, so that a page shows a result before anything has been trained.

`scripts/store_runs.py` makes them; each says when and on what it was made.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from peftcalc.checks import one_of
from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults

FOLDER = Path(__file__).with_name("stored")


@dataclass(frozen=True)
class StoredRun:
    """A race with its records, and where it comes from."""

    race: Race
    board: RaceResults
    made: str
    """Date, machine and versions, in words."""


def stored_names() -> list[str]:
    """The stored races by name: one for each task, and others that a page teaches with."""
    return sorted(file.name.removesuffix(".json.gz") for file in FOLDER.glob("*.json.gz"))


@lru_cache(maxsize=32)
def stored_run(name: str) -> StoredRun:
    """A stored race.

    >>> stored_run("names").race.methods
    ('full', 'lora', 'dora', 'qlora', 'qdora')

    Raises:
        ValueError: there is none of this name.
    """
    one_of("stored run", name, stored_names())
    content = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    race = Race.from_dict(content["race"])
    board = RaceResults(race)
    board.read(content["records"])
    return StoredRun(race, board, content["made"])

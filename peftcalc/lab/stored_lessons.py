"""Figures that a script has measured and stored for the Rank, DoRA and Train pages; each says when and on what.

`scripts/store_lessons.py` makes them.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from peftcalc.checks import one_of

FOLDER = Path(__file__).with_name("stored") / "lessons"


@dataclass(frozen=True)
class StoredLesson:
    """Records as a job tells them, and where they come from."""

    records: list[dict[str, Any]]
    made: str
    """Date, machine and versions, in words."""


def stored_lessons() -> list[str]:
    """The names of what is stored."""
    return sorted(file.name.removesuffix(".json.gz") for file in FOLDER.glob("*.json.gz"))


@lru_cache(maxsize=16)
def stored_lesson(name: str) -> StoredLesson:
    """What is stored under a name.

    >>> stored_lesson("rank-known").records[0]["task"]
    'rank'

    Raises:
        ValueError: there is nothing of this name.
    """
    one_of("stored lesson", name, stored_lessons())
    content = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    return StoredLesson(content["records"], content["made"])

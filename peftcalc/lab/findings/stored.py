"""Findings that a script has measured and stored: rows of names and numbers, and what made them.

`scripts/store_findings.py` makes them. No torch here.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from peftcalc.checks import one_of

FOLDER = Path(__file__).parents[1] / "stored" / "findings"
MADE = ("script", "arguments", "seeds", "torch", "peftcalc", "python", "machine", "seconds", "date")
"""What every finding says of how it was made."""

Row = Mapping[str, float | int | str]


@dataclass(frozen=True)
class StoredFinding:
    """Runs of one experiment, and where they come from."""

    name: str
    rows: tuple[Row, ...]
    """One a run, a seed or a cell, all with the same keys; the loss of a run that diverged is infinite."""
    made: Mapping[str, Any]
    """The keys of `MADE`: the script with its arguments, the seeds, versions, the machine, its processor's seconds."""


def stored_findings() -> list[str]:
    """The names of what is stored."""
    return list(_names())


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    """The folder is looked through once: what is stored comes with the package, and every claim asks for it."""
    return tuple(sorted(file.name.removesuffix(".json.gz") for file in FOLDER.glob("*.json.gz")))


@lru_cache(maxsize=32)
def stored_finding(name: str) -> StoredFinding:
    """What is stored under a name.

    >>> finding = stored_finding("capacity")
    >>> sorted(finding.rows[0])
    ['accuracy', 'images', 'method', 'rank', 'scale', 'seed', 'steps']

    Raises:
        ValueError: there is nothing of this name, with the nearest; or the file does not hold together.
    """
    one_of("stored finding", name, stored_findings())
    content = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    return checked_finding(name, content)


def checked_finding(name: str, content: Any) -> StoredFinding:
    """A finding from what a file holds: `{"rows": [...], "made": {...}}`, null standing for infinity.

    Raises:
        ValueError: something is missing, or a row is not a flat dictionary with the keys of the others.
    """
    rows, made = (content.get("rows"), content.get("made")) if isinstance(content, dict) else (None, None)
    if not isinstance(rows, list) or not rows or not isinstance(made, dict):
        raise ValueError(f"the stored finding {name} must have rows and made, got {str(content)[:60]}")
    missing = [key for key in MADE if key not in made]
    if missing:
        raise ValueError(f"the stored finding {name} must say what made it, got nothing for {', '.join(missing)}")
    keys = set(rows[0]) if isinstance(rows[0], dict) else set()
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != keys or not all(map(_is_plain, row.values())):
            raise ValueError(
                f"row {place} of the stored finding {name} must have {', '.join(sorted(keys))} as numbers and words, "
                f"got {str(row)[:60]}"
            )
    told = tuple({key: math.inf if value is None else value for key, value in row.items()} for row in rows)
    return StoredFinding(name, told, made)


def _is_plain(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))

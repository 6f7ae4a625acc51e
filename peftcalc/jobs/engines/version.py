"""Which peftcalc this is, to the letter: a cluster whose workers are of another one would give other numbers."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
NOT_HERE = ("app", "ui", "commands", "plots")
"""What no worker computes with; `app` is where a wheel holds the pages."""


@cache
def this_version() -> str:
    """The release, and a digest of the sources of what a worker loads.

    >>> this_version().startswith("0.")
    True
    """
    from importlib import import_module

    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if place.parts[0] not in NOT_HERE:
            digest.update(place.as_posix().encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return f"{import_module('peftcalc').__version__} ({digest.hexdigest()[:8]})"

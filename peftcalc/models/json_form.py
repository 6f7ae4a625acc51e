"""What the JSON form of a record is made of, and the digest that tells it from every other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any


def digest(record: Mapping[str, Any]) -> str:
    """Sixty-four hexadecimal digits of everything in a record, whatever the order of its names (SHA-256).

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}), digest({"a": 1}) == digest({"a": 2})
    (True, False)
    """
    content = json.dumps(record, sort_keys=True, default=repr)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def runs(indices: Iterable[int]) -> list[list[int]]:
    """Ascending numbers as half-open runs.

    >>> runs([0, 1, 2, 5])
    [[0, 3], [5, 6]]
    """
    found: list[list[int]] = []
    for index in indices:
        if found and found[-1][1] == index:
            found[-1][1] += 1
        else:
            found.append([index, index + 1])
    return found

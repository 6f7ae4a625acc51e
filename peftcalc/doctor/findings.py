"""Faults and notes while they are collected, as sentences in which many names become a few and a number."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

SHOWN = 3
LONGEST = 120


@dataclass
class Findings:
    """What was found: `faults` break the adapter, `notes` do not."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    untrained: list[str] = field(default_factory=list)

    def fault(self, sentence: str) -> None:
        if sentence not in self.faults:
            self.faults.append(sentence)

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def some(names: Collection[str]) -> str:
    """A few names and how many more there are.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = [name if len(name) <= LONGEST else name[: LONGEST - 1] + "…" for name in list(names)[:SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def many(count: int, one: str, several: str | None = None) -> str:
    """A count with its noun.

    >>> many(1, "tensor"), many(2, "tensor"), many(2, "copy", "copies")
    ('1 tensor', '2 tensors', '2 copies')
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"

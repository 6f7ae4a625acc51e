"""Names of classrooms and of who sits in them, and the teacher's key."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata

WORDS = ("alder", "aspen", "beech", "birch", "cedar", "elm", "hazel", "larch", "linden", "maple", "oak", "pine")
WORDS += ("poplar", "rowan", "spruce", "willow")
LONGEST_NICKNAME = 24
ROOM_VARIABLE, LOCK_VARIABLE, LINK_VARIABLE = "PEFTCALC_ROOM", "PEFTCALC_ROOM_LOCK", "PEFTCALC_ROOM_LINK"
"""What `peftcalc app --classroom` tells the server: the name, the lock of the key, the link to join by."""
_ROOM = re.compile(r"[a-z]{2,12}-\d{2,4}")
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""None that is taken for another when it is read from a wall."""


def new_room() -> str:
    """A name that can be said aloud.

    >>> room_name(new_room()) != ""
    True
    """
    return f"{secrets.choice(WORDS)}-{secrets.randbelow(900) + 100}"


def room_name(text: str) -> str:
    """The name of a classroom as it is kept.

    >>> room_name(" Elm-42 ")
    'elm-42'

    Raises:
        ValueError: it is none.
    """
    name = text.strip().lower()
    if not _ROOM.fullmatch(name):
        raise ValueError(f"a classroom's name must be a word and a number such as elm-42, got {text[:40]!r}")
    return name


def new_key() -> str:
    """The teacher's key: 59 bits, in three groups.

    >>> len(new_key())
    14
    """
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(3))


def lock(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.strip().lower().encode()).hexdigest()


def fits(key: str, locked: str) -> bool:
    """Whether it is the key of this lock."""
    return bool(locked) and hmac.compare_digest(lock(key), locked)


def nickname(text: str) -> str:
    """A nickname as it is shown: one line of letters, digits and marks, at most 24 characters.

    >>> nickname("  Ada \\n <b>L.</b>  ")
    'Ada <b>L.</b>'
    """
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    shown = "".join(c for c in spaced if unicodedata.category(c)[0] not in "CM")  # no control, no pile of accents
    return " ".join(shown.split())[:LONGEST_NICKNAME].strip()


def distinct(name: str, others: set[str]) -> str:
    """The name, with a number where somebody has it already.

    >>> distinct("Ada", {"Ada", "Ada 2"})
    'Ada 3'
    """
    number, found = 1, name
    while found in others:
        number += 1
        found = f"{name} {number}"
    return found

"""A visitor's own text, made ready for the small character model: bounded, in its alphabet, as names or as prose.

No torch here: the page says at once what can be learned from a text, and what cannot.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

LONGEST = 50_000
"""Characters of a text, before anything is made of it."""
SHORTEST = 300
"""Characters that are left to learn from."""
FEWEST = 20
"""Lines of a list of names."""
LONGEST_NAME = 40
"""Characters of a line that may be a name; a text with more in the middle line is prose."""

_SPELLED = str.maketrans({
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L",
    "ı": "i", "þ": "th", "Þ": "Th", "ð": "d", "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-",
    "…": "...", "\t": "    ", "\r": "\n", "\u2028": "\n", "\u2029": "\n",
})  # fmt: skip


@dataclass(frozen=True)
class CleanText:
    """What is learned."""

    text: str
    """Printable ASCII and newlines, without empty lines at its ends."""
    left_out: int
    """Characters that have no place in the model's alphabet."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Those that are not empty."""
        return tuple(line for line in (part.strip() for part in self.text.split("\n")) if line)

    @property
    def is_list(self) -> bool:
        """Whether it is a list of short lines, to be learned one by one, and not prose."""
        lengths = sorted(map(len, self.lines))
        return len(lengths) >= FEWEST and lengths[len(lengths) // 2] <= LONGEST_NAME and lengths[-1] <= 4 * LONGEST_NAME


def clean_text(text: str) -> CleanText:
    """A text in the model's alphabet.

    >>> names = clean_text("Kraków\\nŁódź\\n" * 40)
    >>> names.lines[:2], names.is_list, names.left_out
    (('Krakow', 'Lodz'), True, 0)

    Raises:
        ValueError: it is too long, or too short for anything to be learned from it.
    """
    if len(text) > LONGEST:
        raise ValueError(f"Your text must have at most {LONGEST:,} characters, got {len(text):,}: paste a part of it.")
    told = unicodedata.normalize("NFKD", text.replace("\r\n", "\n").translate(_SPELLED))
    plain = "".join(character for character in told if not unicodedata.combining(character))
    kept = "".join(character for character in plain if character == "\n" or " " <= character <= "~")
    clean = CleanText(kept.strip("\n ")[:LONGEST], len(plain) - len(kept))
    if len(clean.text) < SHORTEST:
        missing = f", {clean.left_out:,} others are not in its alphabet" if clean.left_out else ""
        raise ValueError(
            f"Your text must have at least {SHORTEST} letters, digits or signs of the English keyboard, got "
            f"{len(clean.text)}{missing}: paste more, some 50 names or a page of prose."
        )
    return clean

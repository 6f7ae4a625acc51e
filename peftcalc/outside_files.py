"""Files and values that somebody else made: what may be opened at all, and how deep a value may be nested."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_NESTED = 64
"""Lists and objects within each other; the deepest published configuration has seven."""

MOST_SHOWN = 200
"""Characters of a name; ids of the hub have at most 96 on each side of the slash."""
MOST_SAID = 1_000
"""Characters of a sentence about what was wrong."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def plain_file(path: str | Path, label: str = "") -> int:
    """The bytes of an ordinary file, links followed; a pipe or a device would be waited for, or never end.

    Args:
        path: of the file.
        label: how a sentence calls it; default its path.

    Raises:
        ValueError: it is something else than a file, or is not there.

    >>> plain_file("/dev/zero")
    Traceback (most recent call last):
    ValueError: /dev/zero is a device, not a file, and is not read
    """
    try:
        about = Path(path).stat()
    except OSError as error:
        raise ValueError(f"cannot read {label or path}: {error.strerror or error}") from None
    except ValueError:  # a name with a zero byte
        raise ValueError(f"cannot read {str(path)[:80]!r}: not the name of a file") from None
    if not stat.S_ISREG(about.st_mode):
        kind = _KINDS.get(stat.S_IFMT(about.st_mode), "something else")
        raise ValueError(f"{label or path} is {kind}, not a file, and is not read")
    return about.st_size


def read_bounded(path: Path, most_bytes: int, what: str) -> bytes:
    """The content of an ordinary file, of which no more than the limit is ever read.

    Raises:
        ValueError: as `plain_file`; or larger than the limit, whatever size it claims.
    """
    size = plain_file(path)
    try:
        if size <= most_bytes:
            with path.open("rb") as file:
                content = file.read(most_bytes + 1)
            size = len(content)
            if size <= most_bytes:
                return content
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    raise ValueError(f"{path} has {size:,} bytes or more; {what} must have at most {most_bytes:,}")


def check_content(value: Any, what: str) -> None:
    """A ValueError when lists and objects lie in each other deeper than any configuration's, or a text is none.

    JSON may hold halves of surrogate pairs, which are no characters: no page and no terminal can show them.

    >>> check_content({"a": [[1]]}, "this config")
    >>> check_content({"a": ["\\ud800"]}, "this config")
    Traceback (most recent call last):
    ValueError: this config has a text that is not Unicode: '\\ud800'
    """
    level, depth = [value], 0
    while level:
        if depth == MOST_NESTED and any(isinstance(item, Mapping | list | tuple) for item in level):
            raise ValueError(f"{what} is nested too deeply: more than {MOST_NESTED} lists and objects in each other")
        inside: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item, what)
            elif isinstance(item, Mapping):
                inside += [*item, *item.values()]
            elif isinstance(item, list | tuple):
                inside += item
        level = inside
        depth += 1


def _check_text(text: str, what: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what} has a text that is not Unicode: {text[:40]!r}") from None


def said(error: object) -> str:
    """A sentence on one line that can be read: of one that quotes a value of pages its beginning and its end.

    >>> said(ValueError("rank must be a number,\\n got 'x'")), len(said("x" * 60_000))
    ("rank must be a number, got 'x'", 1000)
    """
    text = " ".join(str(error).split())
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= MOST_SAID else f"{text[: MOST_SAID - 203]} … {text[-200:]}"


def shown(text: str) -> str:
    """A name from outside as it may be shown: on one line, at most 200 characters, none of which moves a cursor.

    >>> shown("my\\x1b[2J model")
    'my�[2J model'
    """
    text = "".join(character if character.isprintable() else "�" for character in text[: MOST_SHOWN + 1])
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"

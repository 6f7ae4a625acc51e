"""Files and values that somebody else made: what may be opened at all, and how deep a value may be nested."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_NESTED = 64
"""Lists and objects within each other; the deepest published configuration has seven."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def plain_file(path: str | Path) -> int:
    """The bytes of an ordinary file, links followed; a pipe or a device would be waited for, or never end.

    Raises:
        ValueError: it is something else than a file, or is not there.

    >>> plain_file("/dev/zero")
    Traceback (most recent call last):
    ValueError: /dev/zero is a device, not a file, and is not read
    """
    try:
        about = Path(path).stat()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError:  # a name with a zero byte
        raise ValueError(f"cannot read {str(path)[:80]!r}: not the name of a file") from None
    if not stat.S_ISREG(about.st_mode):
        kind = _KINDS.get(stat.S_IFMT(about.st_mode), "something else")
        raise ValueError(f"{path} is {kind}, not a file, and is not read")
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


def check_nesting(value: Any, what: str) -> None:
    """A ValueError when lists and objects lie in each other deeper than any configuration's.

    >>> check_nesting({"a": [[1]]}, "this config")
    """
    level, depth = [value] if isinstance(value, Mapping | list | tuple) else [], 0
    while level:
        if depth == MOST_NESTED:
            raise ValueError(f"{what} is nested too deeply: more than {MOST_NESTED} lists and objects in each other")
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
            if isinstance(inner, Mapping | list | tuple)
        ]
        depth += 1

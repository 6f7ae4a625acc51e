"""A file that appears whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a file beside `path`, bring it to the disk, and only then give it the name `path`.

    When that fails (a full disk, an interruption), `path` is as it was, and nothing is left beside it.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        write(unfinished)
        _to_disk(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _to_disk(path.parent)  # the new name itself


def _to_disk(path: Path) -> None:
    if path.is_dir() and os.name != "posix":  # only there a folder can be opened
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

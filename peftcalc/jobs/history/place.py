"""Where the history lies, and whether it is kept at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "PEFTCALC_HISTORY"
"""A file, or a word of `OFF`."""
OFF = ("off", "no", "none", "false", "0")
FILE = "history.sqlite"


def history_path(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path | None:
    """The file of the history; None for whoever has opted out, or has no home.

    Args:
        environment: the variables; None for those of this process.
        platform: as `sys.platform` names it.

    >>> history_path({"PEFTCALC_HISTORY": "off"}) is None
    True
    >>> history_path({"HOME": "/home/ada"}, "linux").as_posix()
    '/home/ada/.local/share/peftcalc/history.sqlite'
    """
    known = os.environ if environment is None else environment
    asked = known.get(VARIABLE, "").strip()
    if asked.lower() in OFF:
        return None
    if asked:
        return Path(asked).expanduser()
    folder = _data_folder(known, platform)
    return None if folder is None else folder / "peftcalc" / FILE


def _data_folder(known: Mapping[str, str], platform: str) -> Path | None:
    """Where programs of this platform keep a user's data."""
    if platform == "win32":
        return Path(known["LOCALAPPDATA"]) if known.get("LOCALAPPDATA") else None
    if known.get("XDG_DATA_HOME"):
        return Path(known["XDG_DATA_HOME"])
    if not known.get("HOME"):
        return None
    home = Path(known["HOME"])
    return home / "Library/Application Support" if platform == "darwin" else home / ".local/share"

"""The settings of `.streamlit/config.toml`, which Streamlit looks through for every run, are looked through once.

Whatever runs, be it one fragment, is told to the browser with the whole theme: of six sections, for each of which
Streamlit goes through all of its 350 settings. That took a move 0.4 ms, while the file is read at the start alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from streamlit import config

Section = dict[str, Any]


@contextmanager
def sections_read_once() -> Iterator[None]:
    """Within, a section's settings are found once, and again when the file is read again."""
    found: dict[str, Section] = {}
    look: Callable[[str], Section] | None = getattr(config, "get_options_for_section", None)
    if look is None:  # another Streamlit
        yield
        return

    def kept(section: str) -> Section:
        if section not in found:
            found[section] = look(section)
        return dict(found[section])

    forget = config.on_config_parsed(found.clear, force_connect=True)
    config.get_options_for_section = kept
    try:
        yield
    finally:
        config.get_options_for_section = look
        forget()

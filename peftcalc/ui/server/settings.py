"""The settings of `.streamlit/config.toml`, which Streamlit looks through for every run, are looked through once.

Whatever runs, be it one fragment, is told to the browser with the whole theme: of six sections, for each of which
Streamlit goes through all of its 350 settings, and which it writes setting by setting. That took a move 0.6 ms, while
the file is read at the start alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

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


@contextmanager
def theme_written_once() -> Iterator[None]:
    """Within, a section of the theme is written into a message once, and copied into the next ones."""
    found: dict[str, CustomThemeConfig | None] = {}
    write: Callable[[CustomThemeConfig, str], None] | None = getattr(app_session, "_populate_theme_msg", None)
    if write is None:  # another Streamlit
        yield
        return

    def copied(message: CustomThemeConfig, section: str = "theme") -> None:
        if section not in found:
            said = any(value is not None for value in config.get_options_for_section(section).values())
            found[section] = CustomThemeConfig() if said else None
            if (whole := found[section]) is not None:
                write(whole, section)
        if (whole := found[section]) is not None:  # a section without a setting is not there
            message.SetInParent()
            message.MergeFrom(whole)

    forget = config.on_config_parsed(found.clear, force_connect=True)
    app_session._populate_theme_msg = copied  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        app_session._populate_theme_msg = write  # pyright: ignore[reportPrivateUsage]
        forget()

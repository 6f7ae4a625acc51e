"""The app's drawers, pulled open: their controls are drawn only then."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

NAMES = ("choose", "hours", "model", "options", "train")


def pulled(test: AppTest, names: tuple[str, ...] = NAMES) -> AppTest:
    """The page before its next run, with these drawers open."""
    for name in names:
        test.session_state[f"drawer-{name}"] = True
    return test

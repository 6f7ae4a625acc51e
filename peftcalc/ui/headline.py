"""What a page's picture comes to: one line in large type, which a back row reads."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from peftcalc.methods import METHODS
from peftcalc.plots.style import METHOD_STYLES


def show(line: str) -> None:
    """The line, as HTML of our own."""
    st.html(f'<p class="headline">{line}</p>')


def names(methods: Sequence[str]) -> str:
    """Methods as a sentence lists them, each in its colour.

    >>> names(["lora"])
    '<b style="color:#2f7ed8">LoRA</b>'
    >>> names(list(METHODS))
    'All five'
    """
    if len(methods) == len(METHODS):
        return "All five"
    *first, last = (f'<b style="color:{METHOD_STYLES[name].color}">{METHODS[name].label}</b>' for name in methods)
    return f"{', '.join(first)} and {last}" if first else last

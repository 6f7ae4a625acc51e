"""What a page's picture comes to: one line in large type, which a back row reads."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from peftcalc.methods import METHODS
from peftcalc.plots.style import METHOD_STYLES


def show(line: str) -> None:
    """The line, as HTML of our own."""
    st.html(f'<p class="headline">{line}</p>')


def names(methods: Sequence[str], color: str = "") -> str:
    """Methods as a sentence lists them, each in its own colour, or all in one.

    >>> names(["lora"])
    '<b style="color:#2f7ed8">LoRA</b>'
    >>> names(list(METHODS))
    'All five'
    """
    if len(methods) == len(METHODS):
        return f'<b style="color:{color}">All five</b>' if color else "All five"
    colors = [color or METHOD_STYLES[name].color for name in methods]
    *first, last = (
        f'<b style="color:{color}">{METHODS[name].label}</b>' for name, color in zip(methods, colors, strict=True)
    )
    return f"{', '.join(first)} and {last}" if first else last

"""Charts that are plain Vega-Lite data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from peftcalc.plots.quantization import Spec


def draw(spec: Spec, alt: str) -> None:
    """The chart, as wide as its column, with its alternative text; its toolbar saves it as PNG."""
    st.vega_lite_chart(None, spec, width="stretch", alt=alt)

"""Results on a page: figures with their alternative text, tables, and what can be taken away (PNG, SVG, CSV, code)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from peftcalc.plots.style import THEMES
from peftcalc.ui import page

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from peftcalc.plots.style import Chart

PROJECTED = 18
"""Pixels of the type in charts before a room."""


def chart(chart: Chart, alt: str, key: str | None = None) -> None:
    """An interactive chart, drawn by the browser; its toolbar saves it as PNG. Words and rules have the theme's ink.

    With the projector every word in it is at least `PROJECTED` pixels tall.
    """
    ink = {"color": THEMES[page.theme_name()].text}
    sizes: dict[str, Any] = {}
    if page.projector():
        sizes = {
            part: {"labelFontSize": PROJECTED, "titleFontSize": PROJECTED} for part in ("axis", "legend", "header")
        }
    text = {**ink, "fontSize": PROJECTED} if sizes else ink
    chart = chart.configure(text=text, rule=ink, **sizes)
    st.altair_chart(chart, width="stretch", alt=alt, key=key)


def figure(figure: Figure, alt: str, name: str) -> None:
    """A drawn figure as scalable picture, with PNG and SVG to take away under `name`."""
    svg = getattr(figure, "drawn_svg", None) or figure_bytes(figure, "svg")
    figure.drawn_svg = svg  # pyright: ignore[reportAttributeAccessIssue]  # a cached figure is drawn once
    st.image(svg.decode(), alt=alt, width="stretch")
    with st.popover("Take this figure", icon=":material/download:", type="tertiary"):
        # The PNG is drawn only when it is asked for: it costs more than the rest of the page.
        st.download_button(
            "PNG", lambda: figure_bytes(figure, "png"), f"{name}.png", "image/png", on_click="ignore", key=f"{name}.png"
        )
        st.download_button("SVG", svg, f"{name}.svg", "image/svg+xml", on_click="ignore", key=f"{name}.svg")


def figure_bytes(figure: Figure, file_format: str) -> bytes:
    """The figure as an SVG (text stays text) or as a PNG of 200 dots an inch."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format=file_format, dpi=200, metadata={"Date": None} if file_format == "svg" else None)
    return buffer.getvalue()


def table(frame: pd.DataFrame, name: str, alt: str = "", hide_index: bool = True, **columns: str) -> None:
    """A table with sorting and search, and its CSV under `name`; `columns` gives number formats by column name."""
    config = {column: st.column_config.NumberColumn(format=style) for column, style in columns.items()}
    st.dataframe(frame, hide_index=hide_index, column_config=config, alt=alt or name, key=f"table-{name}")
    download_csv(frame, name)


def download_csv(frame: pd.DataFrame, name: str, label: str = "CSV") -> None:
    """A button that saves the table as CSV."""
    st.download_button(
        label,
        lambda: frame.to_csv(index=False).encode(),
        f"{name}.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
        key=f"{name}.csv",
    )


def code(text: str, name: str, language: str = "python", height: int | Literal["content"] = "content") -> None:
    """Code to copy, and to save as `name`; of a `height` in pixels it scrolls."""
    st.code(text, language=language, wrap_lines=True, height=height)
    st.download_button(
        "Save the code",
        text,
        name,
        f"text/x-{language}",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
        key=name,
    )

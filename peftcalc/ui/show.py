"""Results on a page: figures with their alternative text, tables, and what can be taken away (PNG, SVG, CSV, code)."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from peftcalc.plots.figure_files import FileFormat, figure_bytes
from peftcalc.plots.style import THEMES
from peftcalc.ui import background, page

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from peftcalc.plots.chart import Chart, Table

    Rows = Sequence[Mapping[str, object]]


def chart(chart: Chart, alt: str, key: str | None = None) -> None:
    """An interactive chart, drawn by the browser; its toolbar saves it as PNG. The page's theme and switch apply.

    The chart is named by its description, which stays: Streamlit makes a name part of the specification, and builds a
    chart of another specification from nothing, where other data alone cost a fraction of that. What `alt` tells of
    the data stands behind the chart, for those who hear the page.
    """
    spec = chart.specification(THEMES[page.theme_name()], page.projector())
    spec.setdefault("padding", {"bottom": 4})
    described = spec.pop("description")
    spec["datasets"] = {name: _arrow(table) for name, table in chart.data.items()}
    st.vega_lite_chart(spec, width="stretch", alt=described, key=key)
    st.html(f'<p class="spoken">{html.escape(alt)}</p>')


def ready(chart: Chart) -> Chart:
    """The chart with its tables as the browser reads them, for one that is kept and drawn again and again."""
    return replace(chart, data={name: _arrow(table) for name, table in chart.data.items()})


def _arrow(table: Table | bytes) -> Any:
    """The bytes that the browser reads; what Arrow cannot take as it is, Streamlit mends."""
    if isinstance(table, bytes):
        return table
    import pyarrow

    try:
        rows = pyarrow.Table.from_pylist(list(table)) if isinstance(table, Sequence) else _columns(table)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        return table
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def _columns(frame: pd.DataFrame) -> Any:
    """An Arrow table without pandas' index."""
    import pyarrow

    return pyarrow.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


DRAWN_ELSEWHERE = "A worker process of this server draws it when you press."


def figure(figure: Figure, alt: str, name: str, asked: Callable[[], dict[str, Any]]) -> None:
    """A drawn figure as scalable picture, with PNG and SVG to take away under `name`.

    Args:
        figure: as it is shown.
        alt: its alternative text.
        name: of the files.
        asked: called for what `peftcalc.plots.work` draws the same figure from, its theme left out.
    """
    svg = getattr(figure, "drawn_svg", None) or figure_bytes(figure, "svg")
    figure.drawn_svg = svg  # pyright: ignore[reportAttributeAccessIssue]  # a cached figure is drawn once
    st.image(svg.decode(), alt=alt, width="stretch")
    with st.popover("Take this figure", icon=":material/download:", type="tertiary"):
        png = drawn_file(asked, "png")
        st.download_button(
            "PNG", png, f"{name}.png", "image/png", on_click="ignore", key=f"{name}.png", help=DRAWN_ELSEWHERE
        )
        st.download_button("SVG", svg, f"{name}.svg", "image/svg+xml", on_click="ignore", key=f"{name}.svg")


def drawn_file(asked: Callable[[], dict[str, Any]], file_format: FileFormat) -> Callable[[], bytes]:
    """A figure's file for a button: a worker draws it when it is pressed, since a PNG costs more than a page.

    Args:
        asked: called for what `peftcalc.plots.work` draws it from, its theme left out.
        file_format: "png" or "svg".
    """
    theme = page.theme_name()
    return background.when_asked(
        "figure", lambda: {**asked(), "theme": theme, "format": file_format}, f"figure.{file_format}"
    )


def folded(label: str, key: str, draw: Callable[[], None]) -> None:
    """What is drawn when somebody opens it, and costs nothing before.

    It is no fragment of its own: Streamlit copies the place of each fragment whenever it is declared, which took a
    third of a move.
    """
    place = st.expander(label, key=f"fold-{key}", on_change="rerun")
    if place.open:
        with place:
            draw()


def unfolding(lines: Iterable[tuple[str, str, str]]) -> None:
    """Lines that open in the browser alone, for words that are at hand: one element, however many lines.

    Streamlit's front end goes through some thirty components for each of its own boxes whenever anything moves, and
    reading so much Markdown takes it as long as all the rest of a page.

    Args:
        lines: a strong beginning and the rest of the line, as texts; and as HTML what stands behind it.
    """
    line = "<details><summary><b>{}</b> {}</summary>{}</details>"
    parts = (line.format(html.escape(strong), html.escape(rest), behind) for strong, rest, behind in lines)
    st.html(f'<div class="unfolding">{"".join(parts)}</div>')


def rows_as_html(rows: Rows) -> str:
    """A small table that is only read, with the names of its first row's columns."""
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    lines = ("".join(f"<td>{html.escape(str(value))}</td>" for value in row.values()) for row in rows)
    return f"<table><tr>{cells}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def table(rows: pd.DataFrame | Rows, name: str, alt: str = "", hide_index: bool = True, **columns: str) -> None:
    """A table with sorting and search, and its CSV under `name`; `columns` gives number formats by column name.

    Rows of one set of names become the browser's table in a tenth of the time that a data frame takes.
    """
    config = {column: st.column_config.NumberColumn(format=style) for column, style in columns.items()}
    st.dataframe(
        _for_the_browser(rows), hide_index=hide_index, column_config=config, alt=alt or name, key=f"table-{name}"
    )
    download_csv(rows, name)


def _for_the_browser(rows: pd.DataFrame | Rows) -> Any:
    if not isinstance(rows, Sequence):
        return rows
    import pyarrow

    names = dict.fromkeys(name for row in rows for name in row)
    return pyarrow.table({name: [row.get(name) for row in rows] for name in names})


def download_csv(rows: pd.DataFrame | Rows, name: str, label: str = "CSV") -> None:
    """A button that saves the table as CSV, written when it is pressed."""

    def written() -> bytes:
        import pandas as pd

        return pd.DataFrame(rows).to_csv(index=False).encode()

    st.download_button(
        label,
        written,
        f"{name}.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
        key=f"{name}.csv",
    )


def code(text: str, name: str, language: str = "python", height: int | Literal["content"] = "content") -> None:
    """Code to copy, and to save as `name`; of a `height` in pixels it scrolls.

    The box that scrolls holds the button that copies: so a keyboard reaches it.
    """
    with st.container(height=height, border=False):
        st.code(text, language=language, wrap_lines=True)
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

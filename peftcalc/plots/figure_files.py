"""Drawn figures as files: SVG and PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FileFormat = Literal["svg", "png"]


def figure_bytes(figure: Figure, file_format: FileFormat) -> bytes:
    """The figure as an SVG (text stays text) or as a PNG of 200 dots an inch."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format=file_format, dpi=200, metadata={"Date": None} if file_format == "svg" else None)
    return buffer.getvalue()

"""A chart of the pages and of notebooks: a Vega-Lite specification that is written once, and the tables that it draws.

A plot function names the function that builds its specification from its choices (ranks, colours, ends of axes: all but
the data), and puts the tables beside it:

    def loss_chart(frame, unit):
        return Chart(_loss, (unit,), {"runs": frame})

    def _loss(unit):
        return {"description": "…", "data": {"name": "runs"}, "mark": "line", "encoding": {…}}

`specification` writes it as JSON, once for each choice and look, and keeps the text: a text cannot be changed by who
draws it, so thirty sessions share it. A page gives it to the browser with its tables; a notebook shows the chart.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.lazy import explained
from peftcalc.plots.style import LIGHT, Theme

if TYPE_CHECKING:
    import altair
    import pandas as pd

    Table = pd.DataFrame | Sequence[Mapping[str, Any]]

Spec = dict[str, Any]
"""A Vega-Lite view as plain data."""

MOST_KEPT = 256
"""Specifications that are kept, the latest used ones; each has a few kilobytes."""
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
"""The version that notebooks draw; what is used here is the same in the sixth, which Streamlit and Altair draw."""
MIME_TYPE = "application/vnd.vegalite.v5+json"
LARGER = 4 / 3
"""How much larger everything written is in projector mode."""
SMALLEST_PROJECTED = 16
"""Points of the smallest text in projector mode."""
NOTEBOOK_WIDTH = 560
"""Points; on a page a chart is as wide as its column."""

AXIS = {"labelPadding": 6, "titlePadding": 8}
"""Points between an axis, its labels and its title: a page's look has 16 each, which its plots lack."""

_SIZES = ("fontSize", "labelFontSize", "titleFontSize")
_ROOM = ("step", "labelLimit", "labelLineHeight", "labelOffset", "dx", "dy")


@dataclass(frozen=True, eq=False)
class Chart:
    """What a plot function returns.

    Args:
        build: makes the specification, of `choices` alone: the same dictionary for the same choices.
        choices: hashable.
        data: the tables by the names that the specification gives them, as DataFrames or lists of rows.
    """

    build: Callable[..., Spec]
    choices: tuple[Hashable, ...]
    data: Mapping[str, Table]

    def specification(self, theme: Theme = LIGHT, projector: bool = False) -> Spec:
        """The view without its tables, the caller's own copy."""
        return json.loads(specification(self.build, self.choices, theme, projector))

    def to_dict(self, theme: Theme = LIGHT, projector: bool = False) -> Spec:
        """The whole chart as Vega-Lite: `datasets` holds the rows of each table."""
        spec = self.specification(theme, projector)
        sized = {} if _sizes_itself(spec) else {"width": NOTEBOOK_WIDTH}
        datasets = {name: _rows(table) for name, table in self.data.items()}
        return {"$schema": SCHEMA, **sized, **spec, "background": theme.background, "datasets": datasets}

    def to_json(self, theme: Theme = LIGHT, projector: bool = False, indent: int | None = None) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(theme, projector), ensure_ascii=False, indent=indent, allow_nan=False)

    def to_altair(self, theme: Theme = LIGHT, projector: bool = False) -> altair.Chart | altair.LayerChart:
        """The same as an Altair chart, checked against Vega-Lite's schema."""
        with explained("an Altair chart"):
            import altair

        return altair.Chart.from_dict(self.to_dict(theme, projector))

    def save(self, path: str | Path, theme: Theme = LIGHT, projector: bool = False) -> None:
        """Write the chart: `.json` is its Vega-Lite, the other endings (`.html`, `.svg`, `.png`) are Altair's."""
        if Path(path).suffix == ".json":
            Path(path).write_text(self.to_json(theme, projector, indent=1), encoding="utf-8")
        else:
            self.to_altair(theme, projector).save(str(path))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """What Jupyter shows: the chart where it draws Vega-Lite, its description elsewhere."""
        spec = self.to_dict()
        return {MIME_TYPE: spec, "text/plain": spec["description"]}


@functools.lru_cache(maxsize=MOST_KEPT)
def specification(
    build: Callable[..., Spec], choices: tuple[Hashable, ...], theme: Theme = LIGHT, projector: bool = False
) -> str:
    """`build(*choices)` in a look, as JSON; written once and kept.

    Args:
        build: of a plot function.
        choices: its arguments.
        theme: words, rules and marks of the style "ink" have its text's colour.
        projector: text of at least 16 points, and what is written is a third larger, as are the bars between;
            the chart is as high as before, so that the first screen holds it.
    """
    spec = build(*choices)
    if projector:
        spec = _projected(spec)
    ink = {"color": theme.text}
    config: Spec = {"axis": AXIS, "text": ink, "rule": ink, "style": {"ink": ink}}
    if projector:
        label = {"labelFontSize": SMALLEST_PROJECTED, "titleFontSize": SMALLEST_PROJECTED + 2}
        config |= {"axis": {**AXIS, **label}, "legend": label, "header": label}
        config["text"] = {**ink, "fontSize": SMALLEST_PROJECTED}
    return json.dumps({**spec, "config": {**config, **spec.get("config", {})}}, ensure_ascii=False, allow_nan=False)


def _projected(part: Any, key: str = "") -> Any:
    """The part of a specification with larger type, and with the room that it needs."""
    if key in _SIZES:
        if isinstance(part, Mapping):
            return {"expr": f"max({SMALLEST_PROJECTED}, {LARGER:.2f} * ({part['expr']}))"}
        return max(SMALLEST_PROJECTED, round(LARGER * part))
    if key in _ROOM and isinstance(part, int | float):
        return round(LARGER * part)
    if isinstance(part, Mapping):
        return {name: _projected(value, name) for name, value in part.items()}
    return [_projected(value) for value in part] if isinstance(part, list) else part


def _sizes_itself(spec: Spec) -> bool:
    return "width" in spec or any(key in spec for key in ("hconcat", "vconcat", "facet"))


def _rows(table: Table) -> list[dict[str, Any]]:
    """The rows of a table as plain values; what is not finite is missing."""
    records: Iterable[Mapping[Any, Any]] = table.to_dict("records") if hasattr(table, "to_dict") else table  # pyright: ignore
    return [{str(name): _plain(value) for name, value in record.items()} for record in records]


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""The words of which specifications are made: channels of numbers and names, what pointing tells, clicks and zoom.

All are Vega-Lite as plain data, with every field's kind and title written out: a raw column name is never seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftcalc.methods import METHODS
from peftcalc.plots.chart import Spec
from peftcalc.plots.style import METHOD_STYLES

FAINT = 0.12
"""Opacity of what a click into the legend has put aside."""

BILLIONS = "replace(datum.label, 'G', 'B')"
"""Axis labels count parameters in billions, where the SI prefix would be G."""

LONG = 0.6
"""Of the longest bar or of the axis: what is longer has its number inside (`words_at_ends`)."""

LOG = {"type": "log"}
LOG2 = {"type": "log", "base": 2}
"""Scales; the second for ranks."""


def columns(wide: int, *narrower: tuple[int, int]) -> Spec:
    """How many entries of a legend stand in a line (0: all), by the pixels of the chart's place on the page.

    Not by `width`, the room between the axes: while these are measured it is another, and the picture would get the
    height that its legend has with that. It stands in the expression so that this is heard when the window changes.

    Args:
        wide: where there is room, and in a notebook.
        narrower: below so many pixels, so many; the widest first.
    """
    said = str(wide)
    for below, entries in narrower:
        said = f"containerSize()[0] < {below} ? {entries} : {said}"
    return {"expr": f"width && ({said})"}


TOP = {"orient": "top", "labelLimit": 320, "symbolType": "stroke", "symbolSize": 500, "symbolStrokeWidth": 3}
"""A legend of lines above the chart: each line is long enough for its dashes to be told."""
MARKS_ON_TOP = {
    "orient": "top",
    "labelLimit": 320,
    "symbolSize": 110,
    "columns": columns(0, (450, 3)),
}
"""A legend of marks above the chart; on a telephone three of them stand in a line."""

ONE_LEGEND = {"resolve": {"legend": {"color": "independent", "shape": "independent"}}}
"""For layers of one colour scale of which one alone has the legend: else the others' `None` takes it away, or their
dashes break its marks."""


def number(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel of numbers."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def name(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel of names; `sort=None` keeps the order of the rows."""
    return {"field": field, "type": "nominal", "title": title, **more}


def step(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel of few values in order."""
    return {"field": field, "type": "ordinal", "title": title, **more}


def tells(**fields: str | tuple[str, str]) -> list[Spec]:
    """What pointing at a mark tells: by field a title, or a title and d3's format of a number.

    >>> tells(rank=("rank", "d"))
    [{'field': 'rank', 'type': 'quantitative', 'title': 'rank', 'format': 'd'}]
    """
    return [
        name(field, said) if isinstance(said, str) else number(field, said[0], format=said[1])
        for field, said in fields.items()
    ]


def by_value(values: Mapping[str, Any]) -> Spec:
    """A scale from names to what they look like, in this order."""
    return {"domain": list(values), "range": list(values.values())}


def of_methods(what: str) -> Spec:
    """The scale of the five methods' labels: to their `color`, `dash` or `shape`."""
    looks = {METHODS[method].label: getattr(style, what) for method, style in METHOD_STYLES.items()}
    return by_value({label: list(look) if isinstance(look, tuple) else look for label, look in looks.items()})


def picked(field: str) -> Spec:
    """A click on an entry of the legend picks it, one with Shift adds to it, and a double click shows all again.

    It stands among the `params` of the layer that has the legend; `faint_unless_picked` goes into the layers.
    """
    return {"name": "picked", "select": {"type": "point", "fields": [field]}, "bind": "legend"}


def faint_unless_picked(opacity: float = 1.0) -> Spec:
    """The opacity of marks that a click into the legend can put aside."""
    return {"condition": {"param": "picked", "value": opacity}, "value": min(FAINT, opacity)}


def zoom(*encodings: str) -> Spec:
    """Dragging with a mouse moves the axes, the wheel with Shift stretches them, a double click sets them back.

    The bare wheel and a finger scroll the page, as everywhere else on it.
    """
    drag = "[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!"
    select = {"type": "interval", "encodings": list(encodings), "translate": drag, "zoom": "wheel![event.shiftKey]"}
    return {"name": "zoom", "select": select, "bind": "scales"}


def layer(data: str, mark: Spec, params: Any = (), **encoding: Any) -> Spec:
    """One layer: the table that it draws, its mark, its parameters (a list of `picked`, `zoom`) and its channels."""
    view: Spec = {"data": {"name": data}, "mark": mark, "encoding": encoding}
    return {**view, "params": list(params)} if params else view


def words_at_ends(x: Spec, text: str = "text", **look: Any) -> list[Spec]:
    """What stands at the ends of bars: beside a short one, and inside one that is marked `long`: a telephone has no
    room beside it."""
    words = {"type": "text", **look}
    placed = {"x": x, "text": name(text)}
    return [
        {"mark": {**words, "align": "left", "dx": 5}, "encoding": placed, "transform": [{"filter": "!datum.long"}]},
        {
            "mark": {**words, "align": "right", "dx": -5, "color": "white"},
            "encoding": placed,
            "transform": [{"filter": "datum.long"}],
        },
    ]


def rule_at(data: str, **encoding: Spec) -> Spec:
    """A dashed rule where the page's control stands."""
    return layer(data, {"type": "rule", "strokeDash": [4, 3], "opacity": 0.7}, **encoding)

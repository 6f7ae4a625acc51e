"""The controls of a page as its elements tell of them, wherever they stand: any slider, number, menu or row of buttons,
and the pictures that live in the browser, which tell the server what a hand has moved when it lets go."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from streamlit.proto.Element_pb2 import Element
from streamlit.proto.Slider_pb2 import Slider
from streamlit.proto.WidgetStates_pb2 import WidgetState

KINDS = ("slider", "number_input", "selectbox", "button_group", "bidi_component")
MAIN_KINDS = (("slider", "number_input"), ("button_group",), ("bidi_component",), ("selectbox",))
"""Which of its controls a visitor of a page moves: the first of these that the page has."""
SECTIONS = "-section"
"""How the id of the switch between a page's sections ends: who presses it opens something else."""
HANDS = {
    "arrow": [{"x": 0.1 * step, "y": 1.5} for step in range(1, 21)],
    "bits": [{"x": str(0.3 * step)} for step in range(1, 21)],
}
"""What a hand leaves behind in a picture, by the picture's view."""


@dataclass(frozen=True)
class Held:
    """An element on the page, the fragment that drew it (empty for none), and the run that drew it last."""

    element: Element
    fragment: str
    run: str

    def is_a(self, kind: str, label: str) -> bool:
        """True for an enabled element of this kind with these words in its label."""
        return self.element.WhichOneof("type") == kind and label in self._own.label and not self._own.disabled

    @cached_property
    def written(self) -> bytes:
        """The element as the server has sent it."""
        return self.element.SerializeToString()

    @property
    def set_by_server(self) -> str:
        """The id of a widget whose value the server has just set, else empty."""
        return self._own.id if getattr(self._own, "set_value", False) else ""

    @property
    def _own(self) -> Any:
        return getattr(self.element, self.element.WhichOneof("type") or "empty")


@dataclass(frozen=True)
class Control:
    """One control.

    Attributes:
        kind: one of `KINDS`; Streamlit's select sliders are sliders.
        label: as the visitor reads it.
        id: the widget's, which the server knows it by.
        fragment: the fragment that it reruns; empty where the whole page runs again.
        values: what it can be set to, as states to send.
    """

    kind: str
    label: str
    id: str
    fragment: str
    value: WidgetState | None
    values: tuple[WidgetState, ...]

    def another(self, chance: random.Random) -> WidgetState:
        """A value that it does not have now."""
        others = [state for state in self.values if state != self.value]
        return chance.choice(others or list(self.values))


def control_of(held: Held, sent: Mapping[str, WidgetState]) -> Control | None:
    """The control that an element is; None for anything else, and for one that cannot be moved.

    Args:
        held: the element.
        sent: the values that its visitor has given to widgets.
    """
    kind = held.element.WhichOneof("type")
    if kind not in KINDS:
        return None
    own = getattr(held.element, kind)
    if getattr(own, "disabled", False) or own.form_id or own.id.endswith(SECTIONS):
        return None
    first, values = _STATES[kind](own)
    label = getattr(own, "label", kind)
    return Control(kind, label, own.id, held.fragment, sent.get(own.id, first), values) if len(values) > 1 else None


def _slider(own: Slider) -> tuple[WidgetState | None, tuple[WidgetState, ...]]:
    """Both kinds of slider; one with two handles keeps the other at the end.

    A select slider's value is sent as the text of its option, a slider's as a number.
    """
    state = WidgetState(id=own.id)
    ends = own.default[1:]
    if own.type == Slider.Type.SELECT_SLIDER:
        values = []
        for option in own.options:
            shown = WidgetState(id=own.id)
            shown.string_array_value.data.extend([option, *[own.options[-1]] * len(ends)])
            values.append(shown)
        state.string_array_value.data.extend(own.raw_value or [own.options[int(index)] for index in own.default])
        return state, tuple(values)
    steps = round((own.max - own.min) / own.step) if own.step else 0
    kept = range(0, steps + 1, max(1, steps // 50))
    values = []
    for index in kept:
        shown = WidgetState(id=own.id)
        shown.double_array_value.data.extend([own.min + index * own.step, *ends])
        values.append(shown)
    state.double_array_value.data.extend(own.value or own.default)
    return state, tuple(values)


def _number(own: Any) -> tuple[WidgetState | None, tuple[WidgetState, ...]]:
    """A few steps to either side of what it shows, within its bounds."""
    here = own.value if own.set_value else own.default
    low = own.min if own.has_min else here - 5 * own.step
    high = own.max if own.has_max else here + 5 * own.step
    around = (here + index * own.step for index in range(-5, 6))
    values = (WidgetState(id=own.id, double_value=value) for value in around if low <= value <= high)
    return WidgetState(id=own.id, double_value=here), tuple(values)


def _menu(own: Any) -> tuple[WidgetState | None, tuple[WidgetState, ...]]:
    chosen = own.raw_value if own.set_value else (own.options[own.default] if own.options else "")
    return WidgetState(id=own.id, string_value=chosen), tuple(
        WidgetState(id=own.id, string_value=option) for option in own.options
    )


def _row(own: Any) -> tuple[WidgetState | None, tuple[WidgetState, ...]]:
    """One of a few, all visible at once; a row of which none need be chosen asks for a guess, and is left alone."""
    values = []
    for option in own.options if own.required else ():
        shown = WidgetState(id=own.id)
        shown.string_array_value.data.append(option.content)
        values.append(shown)
    chosen = list(own.raw_values) if own.set_value else [own.options[index].content for index in own.default]
    return next((state for state in values if list(state.string_array_value.data) == chosen), None), tuple(values)


def _picture(own: Any) -> tuple[WidgetState | None, tuple[WidgetState, ...]]:
    try:
        moved = HANDS.get(json.loads(own.bytes).get("view"), [])
    except ValueError:
        moved = []
    return None, tuple(WidgetState(id=own.id, json_value=json.dumps({"moved": state})) for state in moved)


_STATES = {
    "slider": _slider,
    "number_input": _number,
    "selectbox": _menu,
    "button_group": _row,
    "bidi_component": _picture,
}

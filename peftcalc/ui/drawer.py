"""Controls behind a button: drawn while it is open, and heard all the same while it is closed.

    more = drawer.Drawer("More", "train")
    steps = more.slider("Steps", STEPS, "steps", 100)

A page with thirty controls draws the five that are in sight. What the others say stands in the link, as it does for
every control; a preset moves them, open or closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st

from peftcalc.ui import state

T = TypeVar("T")
BETWEEN = ", "
"""Between the names of several, which a link repeats its key for."""


@dataclass(frozen=True)
class _Values:
    """What a control can say: how a link spells it, what is read from that, and the sentence of what is allowed."""

    spelled: Callable[[Any], str]
    read: Callable[[str], Any]
    """None for what the control does not have."""
    allowed: str
    many: bool = False
    """Whether a link repeats the key, once for each."""

    def known(self, value: Any) -> Any:
        """The value if the control has it, else None; Streamlit's test bench names an option by its text."""
        try:
            return self.read(value if isinstance(value, str) else self.spelled(value))
        except (KeyError, TypeError, ValueError):
            return None


class Drawer:
    """A button whose box holds controls; each method draws one there, if it is open, and returns what it says.

    Args:
        label: of the button.
        key: a name of the page's own.
        look: more of `st.popover`.
    """

    def __init__(self, label: str, key: str, **look: Any) -> None:
        self.box = st.popover(label, key=f"drawer-{key}", on_change="rerun", **look)
        self.open = bool(self.box.open)
        self._link = st.query_params.to_dict()
        self._brought, self._kept = state.arriving(), state.held()  # the session's own: looked up once for all controls

    def menu(
        self, label: str, options: Sequence[T], key: str, default: T, show: Callable[[T], str] = str, **more: Any
    ) -> T:
        """One of many, with search."""
        return self._one_of(st.selectbox, label, options, key, default, show, more)

    def slider(
        self, label: str, options: Sequence[T], key: str, default: T, show: Callable[[T], str] = str, **more: Any
    ) -> T:
        """A slider over values, every one of which works."""
        return self._one_of(st.select_slider, label, options, key, default, show, more)

    def several(
        self,
        label: str,
        options: Sequence[T],
        key: str,
        default: Sequence[T],
        show: Callable[[T], str] = str,
        **more: Any,
    ) -> list[T]:
        """Any of a few, all visible at once; the link names each."""
        shown = state.shown(show, options)
        names = {show(option): option for option in options}
        values = _Values(
            lambda chosen: BETWEEN.join(map(shown, chosen)),
            lambda text: [names[name] for name in text.split(BETWEEN) if name] if text else [],
            state.listed(list(names)),
            many=True,
        )
        if key in self._link:
            self._link[key] = BETWEEN.join(st.query_params.get_all(key))
        drawn = {"options": options, "format_func": shown, "selection_mode": "multi", "wrap": True, **more}
        return self._heard(st.segmented_control, label, key, list(default), values, drawn)

    def switch(self, label: str, key: str, default: bool = False, **more: Any) -> bool:
        """On or off."""
        values = _Values(lambda on: str(bool(on)).lower(), {"true": True, "false": False}.get, "true or false")
        return self._heard(st.toggle, label, key, default, values, more)

    def number(self, label: str, key: str, default: float, low: float, high: float, **more: Any) -> float:
        """A number that is typed, between `low` and `high`."""

        def read(text: str) -> float | None:
            value = float(text)
            return value if low <= value <= high else None

        values = _Values(repr, read, f"{low:g} to {high:g}")
        return self._heard(st.number_input, label, key, default, values, {"min_value": low, "max_value": high, **more})

    def text(self, label: str, key: str, default: str = "", limit: int = 200, **more: Any) -> str:
        """A short text."""
        values = _Values(str, lambda text: text[:limit], f"{limit} characters")
        return self._heard(st.text_input, label, key, default, values, {"max_chars": limit, **more})

    def _one_of(
        self,
        widget: Callable[..., Any],
        label: str,
        options: Sequence[T],
        key: str,
        default: T,
        show: Callable[[T], str],
        more: dict[str, Any],
    ) -> T:
        names = {show(option): option for option in options}
        values = _Values(show, names.get, state.listed(list(names)))
        drawn = {"options": options, "format_func": state.shown(show, options), **more}
        return self._heard(widget, label, key, default, values, drawn)

    def _heard(
        self, widget: Callable[..., Any], label: str, key: str, default: T, values: _Values, drawn: dict[str, Any]
    ) -> T:
        moved = st.session_state.get(key)
        value = self._held(key, default, values, moved)
        if self.open:
            if moved is None or moved != value:
                st.session_state[key] = value
            with self.box:
                said = widget(label, key=key, **drawn)
            value = default if said is None else said
        elif moved is not None:
            del st.session_state[key]  # no other page's control of this name takes it for its own
        self._kept[key] = value
        self._brought.pop(key, None)
        state.choose(key, value, default)
        self._write(key, values.spelled(value) if value != default else None, values.many)
        return value

    def _held(self, key: str, default: Any, values: _Values, moved: Any) -> Any:
        """What the control says before it is drawn: what moved it last, else what the link says."""
        for said in (moved, self._brought.get(key), self._kept.get(key)):
            found = None if said is None else values.known(said)
            if found is not None:
                return found
        given = self._link.get(key)
        if given is None:
            return default
        found = values.known(given)
        if found is None:
            state.note(key, f"the link asked for {key} = {given}", values.allowed, default, values.spelled(default))
        return default if found is None else found

    def _write(self, key: str, text: str | None, many: bool) -> None:
        if text is None and key in self._link:
            del st.query_params[key]
        elif text is not None and self._link.get(key) != text:
            st.query_params[key] = text.split(BETWEEN) if many else text

"""The way from a page into the visitor's browser and back: data out, what a hand has moved in, both checked.

Nothing is sent while a hand moves; one message comes when it lets go. The message is checked against the view's parts
before anybody sees it, and written into the link: a component's own `history.replaceState` would never reach the
server. What comes back in the next run's data is known to the browser and changes nothing there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from peftcalc.plots.quantization import BIT_COLORS, CODE_POINT_COLOR, FORMAT_COLORS
from peftcalc.plots.style import METHOD_STYLES, SIGNED
from peftcalc.ui import page
from peftcalc.ui.components.parts import Parts, State, as_text, checked, from_text

NAME = "peftcalc.explorable"
"""Declared in pyproject.toml, which Streamlit looks for in every installed package."""

COLORS = {
    **{name: style.color for name, style in METHOD_STYLES.items()},
    **SIGNED,
    **FORMAT_COLORS,
    **BIT_COLORS,
    "error": CODE_POINT_COLOR,
}


def mount(
    view: str,
    data: Mapping[str, Any] | str,
    parts: Parts,
    key: str,
    *,
    start: State | None = None,
    link: bool = True,
    height: int | str = "content",
    moved: Callable[[State], None] | None = None,
    on_door: Callable[[Any], None] | None = None,
) -> State:
    """Show a view, and say what the visitor has moved in it.

    Args:
        view: a name in `explorable.js`.
        data: what the view shows and where its parts stand at first; plain numbers, texts, lists and dictionaries.
            A large one that stays as it is can be given as the JSON of its mapping.
        parts: what can be moved in it.
        key: of the session and of the link's parameter; unlike for each view on a page.
        start: where parts stand while the link says nothing, other than in `data`; when it changes, the view goes
            there.
        link: whether what is moved is written into the link and read from it.
        height: of the place, in pixels, or "content".
        moved: called with what a hand has moved, before the script runs again.
        on_door: takes what the view says when somebody goes through a door in it, unchecked.

    Returns:
        The parts that stand elsewhere than in `data`.
    """
    begun = dict(start or {})
    linked = _from_link(key, parts) if link else None
    state = begun if linked is None else linked
    # As bytes: a dictionary would be searched for data frames and written as JSON twice.
    shown = data if isinstance(data, str) else _json(data)
    written = f"{shown[:-1]},{_json({**payload(view, {}, state), 'projector': page.projector()})[1:]}".encode()
    taken = functools.partial(_take, key, parts, link, moved)
    doors = {} if on_door is None else {"on_door_change": functools.partial(_leave, key, on_door)}
    answer = _component()(key=key, data=written, height=height, on_moved_change=taken, **doors)
    return state if link else known(parts, answer.get("moved"), state)


def land(key: str) -> None:
    """Scroll the page to what has this key, while it is drawn and until a hand moves."""
    _component()(key=f"landing-{key}", data=_json({"land": key}).encode(), height=1)


def lead(pages: Sequence[tuple[str, str]], at: str) -> str | None:
    """The line of the app's pages, and the address of the one that was just pressed.

    Streamlit's own navigation is drawn anew whenever anything happens, which took the browser a third of a move; of
    this its front end knows one element, and the browser draws it once.

    Args:
        pages: addresses and names, in order.
        at: the address of the page that is open.
    """
    data = _json({"pages": pages, "at": at})
    return _component()(key="pages", data=data.encode(), on_to_change=_heard).get("to")


def _heard() -> None:
    """Declares the trigger; its value is read where the line is drawn."""


def set_state(key: str, state: State) -> None:
    """Move a linked view, from a button's callback: presets and "try this" prompts. An empty state is the beginning."""
    if state:
        st.query_params[key] = as_text(state, lead=key)
    elif key in st.query_params:
        del st.query_params[key]


def payload(view: str, data: Mapping[str, Any], state: State | None = None) -> dict[str, Any]:
    """What `static.js` needs to show a view on a page without a server: the JSON of its script element."""
    return {**data, "view": view, "colors": COLORS, "state": state or {}}


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))


@functools.cache
def _component() -> Callable[..., Mapping[str, Any]]:
    return component(NAME, js="explorable.js", css="explorable.css")


def _take(key: str, parts: Parts, link: bool, moved: Callable[[State], None] | None) -> None:
    """A hand has let go."""
    state = known(parts, st.session_state[key].get("moved"), None)
    if state is None:
        return
    if link:
        set_state(key, state)
    if moved is not None:
        moved(state)


def _leave(key: str, on_door: Callable[[Any], None]) -> None:
    """Somebody goes through a door; a message that is none says nothing."""
    where = st.session_state[key].get("door")
    if where is not None:
        on_door(where)


def known(parts: Parts, state: Any, otherwise: Any) -> Any:
    """What a browser's message says, or `otherwise` where there is none or it is none of ours."""
    try:
        return otherwise if state is None else checked(parts, state)
    except ValueError:
        return otherwise


def _from_link(key: str, parts: Parts) -> State | None:
    text = st.query_params.get(key)
    if text is None:
        return None
    try:
        return from_text(parts, text, lead=key)
    except ValueError as error:
        st.info(page.escape(f"The link's {key} is not shown: {error}."), icon=":material/link_off:")
        return None

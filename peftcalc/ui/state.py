"""Controls whose whole state is in the link: open the link elsewhere and see the same numbers.

Each control is a Streamlit widget bound to the query parameter of its key (a control at its default leaves the link
short). A value in the link that the control does not have falls back to the default, with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import streamlit as st

from peftcalc.ui import landing
from peftcalc.ui.components.mount import land, set_state
from peftcalc.ui.page import NOTES_PLACE, escape

T = TypeVar("T")
TRAVELLING = ("model", "model-hub", "gpu", "method")
"""Keys of what is chosen once: these controls show on every page what the visitor chose on the page before."""
PERSONAL = ("seat",)
"""Keys of the address that a link for others leaves out."""
_CHOSEN = "_chosen"
_ARRIVING = "_arriving"
_AT = "_at"
_HELD = "_held"
_NOTES = "_link_notes"
_NOTES_SHOWN = "_link_notes_shown"
_DRAWN = "_drawn"


def arrive(path: str) -> None:
    """Before a page runs: one that was just opened shows what the visitor chose before, unless a link says otherwise.

    Streamlit keeps the value of a control while its page is shown and, where the next page has a control of that name,
    beyond: a rank of 16 that nobody chose there, or another page's section. It is dropped here.
    """
    if st.session_state.get(_AT) != path:
        for key in st.session_state.pop(_DRAWN, set()) - set(TRAVELLING):
            st.session_state.pop(key, None)
        st.session_state[_AT] = path
        st.session_state[_ARRIVING] = dict(st.session_state.get(_CHOSEN, {}))
        st.session_state.pop(_NOTES, None)
        landing.arrive()


def chosen(key: str, otherwise: T) -> T:
    """What the visitor chose, on whichever page, under one of the `TRAVELLING` keys."""
    return st.session_state.get(_CHOSEN, {}).get(key, otherwise)


def arriving() -> dict[str, Any]:
    """What the visitor brings from other pages, until the control of that key has been drawn here."""
    return st.session_state.get(_ARRIVING, {})


def held() -> dict[str, Any]:
    """What the controls of this page say that are not drawn, by key."""
    return st.session_state.setdefault(_HELD, {}).setdefault(st.session_state.get(_AT, ""), {})


def _bring(key: str, options: Sequence[Any] | None = None, show: Callable[[Any], str] = str) -> None:
    """Before one of the `TRAVELLING` controls is drawn for the first time on its page."""
    arriving = st.session_state.get(_ARRIVING)
    if not arriving or key not in arriving:
        return
    value = arriving.pop(key)
    if key not in st.query_params and (options is None or value in options):
        st.session_state[key] = value
        st.query_params[key] = show(value)  # an address that is copied now says it too


def choose(key: str, value: Any, default: Any) -> None:
    """Remember for the other pages; a default that nobody touched is no choice."""
    if key not in TRAVELLING:
        return
    remembered = st.session_state.setdefault(_CHOSEN, {})
    if key in remembered or value != default:
        remembered[key] = value


def drawn(key: str) -> None:
    """A control of this name is drawn, which belongs to this page alone."""
    st.session_state.setdefault(_DRAWN, set()).add(key)


def slider(label: str, options: Sequence[T], key: str, default: T, show: Callable[[T], str] = str, **kwargs: Any) -> T:
    """A slider over discrete, meaningful values (rank 1, 2, 4 … 256), every one of which works."""
    return _linked(st.select_slider, label, options, key, default, show, value=default, **kwargs)


def choice(label: str, options: Sequence[T], key: str, default: T, show: Callable[[T], str] = str, **kwargs: Any) -> T:
    """One of a few, all visible at once."""
    kwargs = {"required": True, "wrap": True, **kwargs}
    return _linked(st.segmented_control, label, options, key, default, show, default=default, **kwargs)


def menu(label: str, options: Sequence[T], key: str, default: T, show: Callable[[T], str] = str, **kwargs: Any) -> T:
    """One of many, with search."""
    index = list(options).index(default)
    return _linked(st.selectbox, label, options, key, default, show, index=index, **kwargs)


def several(
    label: str,
    options: Sequence[T],
    key: str,
    default: Sequence[T],
    show: Callable[[T], str] = str,
    many: bool = False,
    **kwargs: Any,
) -> list[T]:
    """Any of a few, all visible at once; where there are too `many` for one line, each has an outline of its own."""
    drawn(key)
    given = st.query_params.get_all(key)
    values = (st.pills if many else st.segmented_control)(
        label,
        options,
        selection_mode="multi",
        key=key,
        default=default,
        format_func=shown(show, options),
        bind="query-params",
        **{"wrap": True, **kwargs},
    )
    unknown = [text for text in given if text not in {show(option) for option in options}]
    if unknown:
        names = [show(option) for option in options]
        note(key, f"the link asked for {', '.join(unknown)}", ", ".join(names), values, ", ".join(map(show, values)))
    return list(values)


def number(label: str, key: str, default: float, low: float, high: float, **kwargs: Any) -> float:
    """A number that is typed, between `low` and `high`."""
    drawn(key)
    given = st.query_params.get(key)
    value = st.number_input(label, low, high, default, key=key, bind="query-params", **kwargs)
    if given is not None and not _same_number(given, value):
        note(key, f"the link asked for {given}", f"{low:g} to {high:g}", value)
    return value


def switch(label: str, key: str, default: bool = False, **kwargs: Any) -> bool:
    """On or off."""
    drawn(key)
    given = st.query_params.get(key)
    on = st.toggle(label, default, key=key, bind="query-params", **kwargs)
    if given is not None and given.lower() not in ("true", "false"):
        note(key, f"the link asked for {key} = {given}", "true or false", on, str(on).lower())
    return on


def text(label: str, key: str, default: str = "", limit: int = 200, **kwargs: Any) -> str:
    """A short text."""
    drawn(key)
    _bring(key)
    value = st.text_input(label, default, max_chars=limit, key=key, bind="query-params", **kwargs)
    choose(key, value, default)
    return value


def set_controls(parameters: dict[str, Any]) -> None:
    """Move controls, from a button's callback: presets and "try this" prompts.

    A mapping is the state of a view of that key: what a hand has moved in it.
    """
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            set_state(key, dict(value))
        else:
            st.session_state[key] = value


def place(parameters: Mapping[str, Any]) -> None:
    """Before a page runs: its controls show these values, also where the visitor has chosen others before."""
    arriving = st.session_state.get(_ARRIVING, {})
    for key in parameters:
        arriving.pop(key, None)
    set_controls(dict(parameters))


def link_notes() -> None:
    """After the page's controls: say at its top which values of the link fell back, until their control is moved; and
    show what a link that was just opened names."""
    to = landing.taken()
    if to is not None:
        land(to)
    notes = st.session_state.get(_NOTES, {})
    for key, (_, fallback) in list(notes.items()):
        place = st.session_state if key in st.session_state else held()
        if key not in place or place[key] != fallback:
            del notes[key]
    place = st.session_state.get(NOTES_PLACE)
    if place is None or not (notes or st.session_state.get(_NOTES_SHOWN)):
        return
    st.session_state[_NOTES_SHOWN] = bool(notes)
    if not notes:
        place.empty()
        return
    with place.container():
        for sentence, _ in notes.values():
            st.info(escape(sentence), icon=":material/link_off:")


def _linked(
    widget: Callable[..., Any],
    label: str,
    options: Sequence[Any],
    key: str,
    fallback: Any,
    show: Callable[[Any], str],
    **kwargs: Any,
) -> Any:
    drawn(key)
    names = list(map(show, options))
    _bring(key, options, show)
    if key in st.session_state and st.session_state[key] not in options and st.session_state[key] not in names:
        del st.session_state[key]  # another page's value, of a control of this name that has other options
    given = st.query_params.get(key)
    value = widget(label, options=options, key=key, format_func=shown(show, options), bind="query-params", **kwargs)
    choose(key, value, fallback)
    if given is not None and given not in names:
        note(key, f"the link asked for {key} = {given}", listed(names), value, show(value))
    return fallback if value is None else value


def listed(names: Sequence[str]) -> str:
    """The names, or the first and the last of many."""
    return ", ".join(names) if len(names) <= 12 else f"{names[0]} … {names[-1]}"


def shown(show: Callable[[Any], str], options: Sequence[Any]) -> Callable[[Any], str]:
    """`show`, leaving text that is shown already: links and Streamlit's test bench name options by that text."""
    if show is str:
        return str
    names = {show(option) for option in options}
    return lambda option: option if isinstance(option, str) and option in names else show(option)


def note(key: str, asked: str, allowed: str, value: Any, spelled: str | None = None) -> None:
    """Keep the sentence for `link_notes`; `spelled` is how the control shows its `value`."""
    instead = value if spelled is None else spelled
    sentence = f"{asked[:120]}, which this page does not have ({allowed}); showing {instead or 'none'} instead."
    st.session_state.setdefault(_NOTES, {})[key] = (sentence[0].upper() + sentence[1:], value)


def _same_number(text: str, value: float) -> bool:
    try:
        return math.isclose(float(text), float(value), rel_tol=1e-9)
    except ValueError:
        return False


def keep_known(key: str, options: Sequence[Any]) -> None:
    """Before a control whose options depend on another one: drop what it no longer has."""
    current = st.session_state.get(key)
    if isinstance(current, list):
        st.session_state[key] = [value for value in current if value in options]


def link() -> str:
    """The address that restores this page's controls."""
    address = (st.context.url or "").partition("?")[0]
    shared = [key for key in st.query_params if key not in PERSONAL]
    query = urlencode({key: st.query_params.get_all(key) for key in shared}, doseq=True)
    return f"{address}?{query}" if query else address

"""On every page of whoever sits in the classroom: where everybody is sent to, one goes; and one line that says so."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from peftcalc.jobs.classroom.room import Room
from peftcalc.ui import page, state
from peftcalc.ui.classroom import calls, here
from peftcalc.ui.lessons.class_lesson import in_words
from peftcalc.ui.pages import as_page, entry_at

CLASS = "class"
"""The address of the classroom's own page."""
_ORDER, _GOING, _SENT, _CALLED = "_class_order", "_class_going", "_class_sent", "_class_called"
_PLACED, _DRAWN, _LED = "_class_placed", "_class_drawn", "_class_led"


def frame(path: str) -> None:
    """Before the page at this address runs."""
    here.carry_seat()
    calls.begins()
    sent = st.session_state.pop(_SENT, None) or _where_it_was(path)
    st.session_state[_PLACED], st.session_state[_DRAWN] = sent, _run_of()
    if sent:
        st.session_state[_LED] = path
    st.session_state[page.LED] = path != CLASS and st.session_state.get(_LED) == path
    if sent:
        state.place(sent)
    if here.seat() is not None or here.is_teacher():
        st.fragment(_look, run_every=calls.rest())(path)


def _where_it_was(path: str) -> dict[str, Any]:
    """For a tab that was just opened, or loaded again, on the page to which everybody was sent: its settings."""
    found, seat = here.open_room(), here.seat()
    if found is None or seat is None or _ORDER in st.session_state:
        return {}
    order = found.order
    if order is None or order.page != path:
        return {}
    found.newest_order(here.token(), None)
    st.session_state[_ORDER] = order.number
    return {**order.parameters, **found.part_of_grid(here.token())}


def _run_of() -> str:
    """The page in whose name the script runs."""
    context = get_script_run_ctx()
    return context.page_script_hash if context is not None else ""


def framed() -> None:
    """After the page has run: it is there, and the next may be called to theirs."""
    calls.arrived()


def _look(path: str) -> None:
    found, seat = here.open_room(), here.seat()
    turn = learner = found is not None and seat is not None and not here.is_teacher()
    if found is not None and learner:
        last, called = st.session_state.get(_ORDER), st.session_state.get(_CALLED)
        turn = calls.follow(partial(_leads, found, path, here.token(), last or 0, called), leads=True)
        turn = turn or last is None or _GOING in st.session_state  # who was not called waits for the call
    if _run_of() != st.session_state.get(_DRAWN):  # asked by the page before: a browser empties this one for it
        st.session_state[_SENT] = st.session_state.get(_PLACED)
        _to(path)
    if found is None:
        return
    if turn and not _go(found, path) and calls.hushed():  # another tab of the learner was faster
        st.rerun()
    if path != CLASS:
        _bar(found)


def _leads(found: Room, path: str, token: str, last: int, called: str | None) -> object:
    """What takes a learner elsewhere, who has followed the `last` order and been `called` to a question; else None."""
    order, question = found.order, found.question
    if order is not None and order.number > last:
        return order.number
    if question is None or question.revealed or path == CLASS or called == question.key:
        return None
    return question.key if found.answered(token) is None else None


def _go(found: Room, path: str) -> bool:
    """To the page of the latest order, once; and to the classroom when a question is open. False for nowhere."""
    order = found.newest_order(here.token(), st.session_state.get(_ORDER)) or st.session_state.get(_GOING)
    if order is not None:
        st.session_state[_GOING] = order
        if not calls.alone():
            return True
        del st.session_state[_GOING]
        st.session_state[_ORDER] = order.number
        st.session_state[_SENT] = {**order.parameters, **found.part_of_grid(here.token())}
        _to(order.page)
    st.session_state.setdefault(_ORDER, found.order.number if found.order is not None else 0)
    question = found.question
    if question is None or question.revealed or path == CLASS or found.answered(here.token()) is not None:
        return False
    if st.session_state.get(_CALLED) == question.key:
        return False
    if calls.alone():
        st.session_state[_CALLED] = question.key
        _to(CLASS)
    return True


def _to(path: str) -> None:
    """To another page; with a link given, since Streamlit clears none that holds what a control says."""
    st.switch_page(as_page(entry_at(path)), query_params={here.KEY: here.token()})


def _bar(found: Room) -> None:
    """One line: the classroom, what one was given of the grid, and the way back."""
    given = found.part_of_grid(here.token())
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="class-bar"):
        st.page_link(as_page(entry_at(CLASS)), label=f"Class {found.name}", icon=":material/groups:")
        if given and found.order is not None:
            st.markdown(f"Yours: **{page.escape(in_words(given))}**")

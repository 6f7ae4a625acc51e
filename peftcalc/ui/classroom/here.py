"""The classroom of this server, and who the visitor is in it.

A learner's seat is a token that the link carries from page to page, so that a reload and a second tab are the same
learner. The teacher's key is in no link: a projector shows the address.
"""

from __future__ import annotations

import os
import secrets
from weakref import WeakKeyDictionary

import streamlit as st

from peftcalc.jobs.classroom import names
from peftcalc.jobs.classroom.doors import Doors
from peftcalc.jobs.classroom.restored import restored
from peftcalc.jobs.classroom.room import Room
from peftcalc.jobs.classroom.state import Seat
from peftcalc.jobs.job import Job
from peftcalc.ui.classroom import calls
from peftcalc.ui.history.keeper import Keepable, keeper

KEY = "seat"
"""Of the link."""
_SEAT, _TEACHER = "_seat", "_teacher"
LONGEST_TOKEN = 40
_doors: WeakKeyDictionary[Room, Doors] = WeakKeyDictionary()


@st.cache_resource(show_spinner=False)
def room() -> Room | None:
    """That of this server; None where it was started without one."""
    name, locked = os.environ.get(names.ROOM_VARIABLE, ""), os.environ.get(names.LOCK_VARIABLE, "")
    if not name or not locked:
        return None
    found = restored(name, locked, keeper().history)
    found.heard = calls.changed
    return found


def open_room() -> Room | None:
    """The classroom, as long as its day is not over."""
    found = room()
    return None if found is None or found.expired else found


def link() -> str:
    """By which learners join."""
    return os.environ.get(names.LINK_VARIABLE, "")


def token() -> str:
    """The visitor's; empty for whoever has no seat."""
    return st.session_state.get(_SEAT, "")


def seat() -> Seat | None:
    """The visitor's seat in the open classroom."""
    found = open_room()
    return found.seat(token()) if found is not None and token() else None


def take_seat(nickname: str) -> None:
    """Sit down, or change one's nickname.

    Raises:
        ValueError: the classroom is full, or so many seats were taken from one address.
    """
    found = open_room()
    if found is not None:
        own = token() or secrets.token_urlsafe(12)
        _doors.setdefault(found, Doors()).enter(own, st.context.ip_address)
        found.join(own, nickname)
        st.session_state[_SEAT] = own
        st.query_params[KEY] = own


def carry_seat() -> None:
    """On every page, before it runs: the link has the visitor's seat, and a link that has one gives it."""
    found, given = open_room(), st.query_params.get(KEY, "")
    if found is None:
        return
    if not token() and given and len(given) <= LONGEST_TOKEN and found.seat(given) is not None:
        st.session_state[_SEAT] = given
    if token() and given != token():
        st.query_params[KEY] = token()


def is_teacher() -> bool:
    """Whether this session has shown the key."""
    return bool(st.session_state.get(_TEACHER)) and open_room() is not None


def show_key(key: str) -> bool:
    """Become the teacher, with the right key."""
    found = open_room()
    st.session_state[_TEACHER] = found is not None and found.is_key(key)
    return is_teacher()


def keep(job: Job, what: Keepable) -> None:
    """Keep a visitor's work, and bring it to the board of the classroom when its learner or teacher runs it."""
    found = open_room() if seat() is not None or is_teacher() else None
    if found is None:
        keeper().watch(job, what)
    else:
        keeper().watch(job, what, found.name, lambda run, results: found.add(results))

"""Pages of a classroom are called when something has changed; they do not ask again and again.

    st.fragment(look, run_every=calls.rest())()         # how a part of a page is declared that follows the classroom
    calls.follow(lambda: room.results_version)          # its first line: what it depends on

A browser asks for a fragment once in so many seconds, as the server has told it last (Streamlit's `auto_rerun`). One
that follows asks every ten seconds. When what it depends on has changed, the server tells it to ask a tenth of a second
later, and when it has asked, every ten seconds again. It is the browser that asks, with its own link and controls: a
call that comes too late or twice does no harm.

Parts of pages are called one after the other. Where what changes leads elsewhere, as when the teacher sends everybody,
few are called at a time (`way.Way`), and the next when one has arrived: of thirty pages that are made at once each
takes the time of thirty. Who asks meanwhile waits for the call. Parts come first: the board does not wait for a class
on its way; parts of a page that is about to be left are not called.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx

from peftcalc.ui.classroom.way import Pace, Way

REST, ALONE = 10.0, 1.5
"""Seconds between two looks of a page that is called, and of one that nobody calls."""
SOON = 0.1
"""Seconds after which a browser that is called asks, and again until it is answered; it is heard once."""
ROUND, AGAIN = 0.1, 3.0
"""Seconds between two rounds, and until a page that has not come is called again."""

_ALONE = "_class_alone"


@dataclass
class Follower:
    """A part of a page that is open somewhere."""

    session: str
    fragment: str
    depends: Callable[[], object]
    seen: object
    """What it depended on when it was drawn."""
    drawn: float
    every: float = 0.0
    """Seconds between two calls at the least."""
    hush: Callable[[], Callable[[], bool]] | None = None
    """Of one whose change leads to another page: has all else on its page ask no more, and gives whether that holds."""
    called: float | None = None
    quiet: Callable[[], bool] = lambda: False
    """Whether nothing else on its page has asked since."""

    @property
    def late(self) -> bool:
        """Whether it has not seen the newest; one that can go elsewhere is called to go, and for nothing else."""
        now = self.depends()
        return now != self.seen and not (self.hush is not None and now is None)


def ask_again(seconds: float) -> None:
    """Have the fragment that runs asked for at another interval from now on, where it was declared with one."""
    context, fragment = get_script_run_ctx(), _fragment()
    if context is not None and fragment is not None:
        context.enqueue(_asks(fragment, seconds))


def _asks(fragment: str, seconds: float) -> ForwardMsg:
    message = ForwardMsg()
    message.auto_rerun.fragment_id, message.auto_rerun.interval = fragment, seconds
    return message


def _browser(session: str, fragment: str) -> Callable[[str, float], None] | None:
    """The way to a visitor's browser, in the server's event loop."""
    from streamlit.runtime import get_instance
    from streamlit.runtime.session_manager import SessionClientDisconnectedError

    runtime = get_instance()
    held: Any = runtime.get_app_session(session)
    client = runtime.get_client(session)
    if held is None or client is None or not held.has_fragment(fragment):
        return None

    def send(name: str, seconds: float) -> None:
        with suppress(SessionClientDisconnectedError):
            client.write_forward_msg(_asks(name, seconds))

    return send


class Calls:
    """Who follows, and who is called.

    Args:
        reach: gives `send(fragment, seconds)` for a session that has this fragment still, else None; for tests.
    """

    def __init__(self, reach: Callable[[str, str], Callable[[str, float], None] | None] | None = None) -> None:
        self._reach = reach or _browser
        self._followers: dict[tuple[str, str], Follower] = {}
        self.way, self.pace = Way(), Pace()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()

    @property
    def serving(self) -> bool:
        """Whether anybody is called."""
        return self._loop is not None

    def enter(self, follower: Follower) -> bool:
        """Somebody is drawn; whether it was called. Who looks by itself and could go elsewhere is late still."""
        with self._lock:
            before = self._followers.get((follower.session, follower.fragment))
            self._followers[follower.session, follower.fragment] = follower
            if before is not None and before.called is not None:
                follower.quiet = before.quiet
                return True
            follower.seen = follower.seen if follower.hush is None else None
        return False

    def quiet(self, session: str, fragment: str) -> bool:
        """Whether whoever is being drawn was called to go elsewhere, and nothing else on its page has asked since."""
        with self._lock:
            found = self._followers.get((session, fragment))
        return found is not None and found.quiet()

    def arrived(self, session: str) -> None:
        """A visitor who was called has the page; from any thread."""
        if self.way.arrived(session):
            self.changed()

    def changed(self) -> None:
        """Something has changed; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def serve(self) -> None:
        """Call whoever is to look, as long as the server lives."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while late := self.late():
                    for follower in self.due(late, time.monotonic()):
                        self.call(follower)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), ROUND)
                    self._wake.clear()
        finally:
            self._loop = None

    def late(self) -> list[Follower]:
        """Who has not seen the newest."""
        with self._lock:
            return [one for one in self._followers.values() if one.late]

    def due(self, late: Sequence[Follower], now: float) -> list[Follower]:
        """Who of them is to be called at the time `now` (of `time.monotonic`); parts of pages that stay come first."""
        leave = {one.session for one in late if one.hush is not None}
        free = [one for one in late if now - one.drawn >= one.every and now - (one.called or -AGAIN) >= AGAIN]
        found = [one for one in free if one.hush is None and one.session not in leave and self.pace.allows(now)]
        found += [one for one in free if one.hush is not None and self.way.sets_out(one.session, now)]
        for one in found:
            one.called = now
        return found

    def call(self, one: Follower) -> None:
        """Have its browser ask; one whose tab is closed, or shows another page, follows no longer."""
        send = self._reach(one.session, one.fragment)
        with self._lock:
            if self._followers.get((one.session, one.fragment)) is not one:  # it has just looked by itself
                return
            if send is None:
                del self._followers[one.session, one.fragment]
        if send is None:
            self.arrived(one.session)  # it keeps nobody waiting
            return
        if one.hush is not None:
            one.quiet = one.hush()
        send(one.fragment, SOON)


_calls = Calls()
changed, serve = _calls.changed, _calls.serve


def rest() -> float:
    """Seconds between two looks of a part of a page that follows."""
    return REST if _calls.serving else ALONE


def follow(depends: Callable[[], object], every: float = 0.0, leads: bool = False) -> bool:
    """First in a fragment that is declared with `run_every=rest()`; True when it was called, or nobody is.

    Args:
        depends: gives what it depends on; cheap, from any thread, and without Streamlit.
        every: seconds between two calls at the least.
        leads: what it depends on is where the visitor is to go, None for nowhere; all else on the page is forgotten
            when it is called, as `alone` says.
    """
    context, fragment = get_script_run_ctx(), _fragment()
    if context is None or fragment is None or not _calls.serving:
        return True
    hush = partial(_hush, context.fragment_storage, fragment) if leads else None
    called = _calls.enter(Follower(context.session_id, fragment, depends, depends(), time.monotonic(), every, hush))
    if called:
        context.enqueue(_asks(fragment, REST))
    return called


def _hush(storage: Any, fragment: str) -> Callable[[], bool]:
    """Have Streamlit forget all other fragments of a page; gives whether none was made since."""
    storage.clear(frozenset({fragment}))
    try:
        made = storage.registration_sequence()
        return lambda: not storage.ids_registered_after(made)
    except AttributeError:  # this Streamlit does not tell
        return lambda: False


def arrived() -> None:
    """At the end of a whole page, and where nothing leads elsewhere: the next may be called."""
    context = get_script_run_ctx()
    if context is not None:
        _calls.arrived(context.session_id)


def hushed() -> bool:
    """Whether all else on the page was forgotten when the fragment that runs was called."""
    context, fragment = get_script_run_ctx(), _fragment()
    if context is None or fragment is None or not context.fragment_ids_this_run:
        return False
    return _calls.quiet(context.session_id, fragment)


def alone() -> bool:
    """Whether nothing but the fragment that runs can ask in this session any more, so that it may turn to another page.

    A browser that is turned to another page has perhaps just asked for a part of the one before. Streamlit would answer
    that after the new page, in the name of the old one, and the browser would empty the new one for it. So all other
    fragments are forgotten first; what was on its way is answered until this one runs next, and there this is true.
    Who was called to go elsewhere is alone from the call on.
    """
    context, fragment = get_script_run_ctx(), _fragment()
    if context is None or fragment is None:
        return True
    quiet = hushed() or st.session_state.get(_ALONE) == fragment
    if not quiet and context.fragment_ids_this_run:
        context.fragment_storage.clear(frozenset({fragment}))
        st.session_state[_ALONE] = fragment
    context.enqueue(_asks(fragment, REST if quiet else SOON))
    return quiet


def begins() -> None:
    """A page begins, whatever for: nobody is sent to theirs while a few are made."""
    st.session_state.pop(_ALONE, None)
    if context := get_script_run_ctx():
        _calls.way.makes(context.session_id, time.monotonic())


def _fragment() -> str | None:
    """The fragment that runs; None where this Streamlit does not tell."""
    try:
        from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState

        return ThreadState.get().fragment_id
    except (ImportError, RuntimeError):
        return None

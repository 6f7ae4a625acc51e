"""What passes between Streamlit's server and a browser: an answer in one piece, a timer's question once.

    app = st.App(script, middleware=[Middleware(OnePiece)])

A script tells of every element as it draws it, and Streamlit's server passes on every few milliseconds what there is.
Whenever something arrives, Streamlit's front end goes through all elements of the page, a few hundred components, which
takes it as long as the script took: a move whose answer came in four pieces was drawn four times. So what a fragment's
run says is held until the server rests, which it says right after the run's end; while it does not, for `HELD_SECONDS`
at most. A run of the whole page is not held: who opens a page sees its first elements at once.

What was held is written to the network as one: a browser that is given thirty messages one by one begins to draw after
the first few, and each would be a call of the system.

A browser's timer asks for a part of a page whether or not it was answered (`asked_once`): what it asks again is left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, nullcontext
from typing import Any

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from peftcalc.ui.server.asked_once import AskedOnce

HELD_SECONDS = 0.25
"""Longer than most moves take; what takes longer shows how far it is."""
LARGEST_OF_INTEREST = 20_000
"""Bytes: messages that tell of a run's beginning or end are smaller, and larger ones are not read."""

Event = MutableMapping[str, Any]
Send = Callable[[Event], Awaitable[None]]


class OnePiece:
    """Middleware between Streamlit's server and its WebSockets (ASGI)."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Event, receive: Callable[[], Awaitable[Event]], send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        asked = AskedOnce()

        async def hear() -> Event:
            while True:
                event = await receive()
                if asked.passes(event.get("bytes"), time.monotonic()):
                    return event

        await self.app(scope, hear, _Gate(send, asked))


class _Gate:
    """What stands before one visitor's connection: open, or held while a fragment runs."""

    def __init__(self, send: Send, asked: AskedOnce) -> None:
        self._send, self._asked = send, asked
        self._holds = False
        self._held: list[Event] = []
        self._follows = False
        """Whether the last run ended early for another, as a callback's does that asks for other fragments."""
        self._rest: list[Event] = []
        """That the server rests between the two, of which a browser that heard it would make a pass over the page."""
        self._timer: asyncio.TimerHandle | None = None
        """Runs while something is held."""
        self._going: asyncio.Task[None] | None = None
        self._in_order = asyncio.Lock()

    async def __call__(self, event: Event) -> None:
        async with self._in_order:
            told = _told(event.get("bytes"))
            kind = None if told is None else told.WhichOneof("type")
            if told is not None and kind == "new_session":
                self._holds, self._follows, self._rest = bool(told.metadata.run.fragment_ids), False, []
            elif told is not None and kind == "script_finished":
                self._asked.answered(told)
                self._follows = told.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
            elif told is not None and self._holds and self._follows and _is_at_rest(told):
                self._rest = [event]
                return
            elif event["type"] != "websocket.send" or (told is not None and _is_at_rest(told)):
                self._holds = False
            self._held.append(event)
            if not self._holds:
                await self._let_go()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(HELD_SECONDS, self._waited)

    def _waited(self) -> None:
        self._going = asyncio.ensure_future(self._go())

    async def _go(self) -> None:
        async with self._in_order:
            await self._let_go()

    async def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held, self._rest = [*self._held, *self._rest], [], []
        with _as_one(self._send) if len(held) > 1 else nullcontext():
            for event in held:
                await self._send(event)


@contextmanager
def _as_one(send: Send) -> Iterator[None]:
    """What is sent within goes to the network in one call, where the server's connection can be seen (uvicorn's)."""
    connection = getattr(send, "__self__", None)
    transport = getattr(connection, "transport", None)
    if connection is None or transport is None:
        yield
        return
    together = connection.transport = _Gathers(transport)
    try:
        yield
    finally:
        connection.transport = transport
        if together.written:
            transport.write(b"".join(together.written))


class _Gathers:
    """In place of a connection's transport: what is written is kept, all else is the transport's own."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _told(message: bytes | None) -> ForwardMsg | None:
    """What Streamlit tells; None for what is large, and tells neither of a beginning nor of an end."""
    return None if message is None or len(message) > LARGEST_OF_INTEREST else ForwardMsg.FromString(message)


def _is_at_rest(told: ForwardMsg) -> bool:
    """True for what a server says when it is through with a run."""
    status = told.WhichOneof("type") == "session_status_changed"
    return status and not told.session_status_changed.script_is_running

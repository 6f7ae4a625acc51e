"""What threads tell the event loop is heard every few milliseconds, not one by one.

    with gathered(asyncio.get_running_loop()): ...

A script tells the server's loop of every element as it draws it, some thirty a move, and for each the loop was woken,
took the interpreter from the script, found one message, woke itself to send it, and slept again. Now the first is heard
at once, and together what follows within `PAUSE`; Streamlit itself waits 10 ms before it sends what it has heard.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PAUSE = 0.004
"""Seconds between two times that the loop hears what there is."""


@contextmanager
def gathered(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Within, `loop.call_soon_threadsafe` of this loop gathers; a loop that lets nobody replace it stays as it is."""
    hears = _Hears(loop)
    try:
        loop.call_soon_threadsafe = hears  # pyright: ignore[reportAttributeAccessIssue]
    except AttributeError:
        yield
        return
    try:
        yield
    finally:
        del loop.call_soon_threadsafe
        hears.all()


class _Hears:
    """In place of a loop's `call_soon_threadsafe`: calls in their order, each in the context of who asked for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._wake = loop, loop.call_soon_threadsafe
        self._calls: deque[tuple[asyncio.Handle, contextvars.Context, Callable[..., object], tuple[Any, ...]]] = deque()
        self._listens = False
        """Whether the loop looks by itself before long: nobody need wake it."""

    def __call__(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """From any thread; the handle can be cancelled as asyncio's own."""
        context = context or contextvars.copy_context()
        handle = asyncio.Handle(callback, args, self._loop, context)
        self._calls.append((handle, context, callback, args))
        if not self._listens:
            self._listens = True
            self._wake(self._listen)
        return handle

    def all(self) -> bool:
        """Make the calls that wait; False where there were none."""
        waited = bool(self._calls)
        while self._calls:
            handle, context, callback, args = self._calls.popleft()
            if not handle.cancelled():
                self._make(context, callback, args)
        return waited

    def _listen(self) -> None:
        self._listens = self.all()
        if self._listens:
            self._loop.call_later(PAUSE, self._listen)
        elif self._calls:  # somebody called between the last look and the line above, and woke nobody
            self._listens = True
            self._loop.call_soon(self._listen)

    def _make(self, context: contextvars.Context, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            context.run(callback, *args)
        except Exception as error:
            what = {"message": f"Exception in callback {callback!r}", "exception": error}
            self._loop.call_exception_handler(what)

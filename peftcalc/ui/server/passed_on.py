"""What a script has told is passed on together, without a turn of the loop after each message.

    with passed_on_together(): ...

Streamlit's server looks every few milliseconds at what all sessions have to say, and sends it message by message, each
followed by a turn of its event loop: thirty turns for an answer to a move, and as many questions to the system whether
something has arrived. And each message that is put in line was told to the loop as by a thread, though it is the loop
itself that puts it there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streamlit.runtime.app_session import AppSession
from streamlit.runtime.runtime import Runtime

if TYPE_CHECKING:
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

AT_ONCE = 100
"""Messages between two turns of the loop; a visitor's connection has room for 500 that wait, and is given up beyond."""


class _Together(list[Any]):
    """Messages of one session that are sent in one turn."""


@contextmanager
def passed_on_together() -> Iterator[None]:
    """Within, what a session's script has told goes out `AT_ONCE` messages at a time; sessions that begin within."""
    flush, send, told = AppSession.flush_browser_queue, Runtime._send_message, Runtime._enqueued_some_message

    def flush_together(session: AppSession) -> list[Any]:
        messages = flush(session)
        return [_Together(messages[first : first + AT_ONCE]) for first in range(0, len(messages), AT_ONCE)]

    def send_together(runtime: Runtime, info: Any, message: ForwardMsg | _Together) -> None:
        for one in message if isinstance(message, _Together) else [message]:
            send(runtime, info, one)

    def told_by_the_loop(runtime: Runtime) -> None:
        objects = runtime._get_async_objs()
        if getattr(objects.eventloop, "_thread_id", None) == threading.get_ident():
            objects.need_send_data.set()
        else:
            told(runtime)

    AppSession.flush_browser_queue = flush_together  # pyright: ignore[reportAttributeAccessIssue]
    Runtime._send_message = send_together  # pyright: ignore[reportAttributeAccessIssue]
    Runtime._enqueued_some_message = told_by_the_loop  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        AppSession.flush_browser_queue, Runtime._send_message, Runtime._enqueued_some_message = flush, send, told

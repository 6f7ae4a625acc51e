"""What a script has told goes out together: messages of a session, without a turn of the loop for each."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.runtime import Runtime
from streamlit.web.server.starlette.starlette_server_config import WEBSOCKET_MAX_SEND_QUEUE_SIZE

from peftcalc.ui.server.passed_on import AT_ONCE, passed_on_together


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a session with so many messages sends, as `_send_message` is given it by Streamlit itself."""
    found: list[Any] = []
    monkeypatch.setattr(AppSession, "flush_browser_queue", lambda session: list(range(session)))
    monkeypatch.setattr(Runtime, "_send_message", lambda runtime, info, message: found.append(message))
    return found


def flushed(count: int) -> list[Any]:
    return AppSession.flush_browser_queue(count)  # type: ignore[arg-type]


def test_an_answer_takes_one_turn_of_the_loop_and_arrives_message_by_message(sent: list[Any]) -> None:
    with passed_on_together():
        turns = flushed(30)
        assert len(turns) == 1
        Runtime._send_message(None, None, turns[0])  # type: ignore[arg-type]
        assert sent == list(range(30))
        assert flushed(0) == []


def test_no_more_goes_out_at_once_than_a_connection_has_room_for(sent: list[Any]) -> None:
    with passed_on_together():
        assert [len(turn) for turn in flushed(2 * AT_ONCE + 1)] == [AT_ONCE, AT_ONCE, 1]
    assert AT_ONCE == WEBSOCKET_MAX_SEND_QUEUE_SIZE // 5


def test_a_single_message_is_sent_as_it_is_and_outside_nothing_is_changed(sent: list[Any]) -> None:
    plain = AppSession.flush_browser_queue, Runtime._send_message, Runtime._enqueued_some_message
    with passed_on_together():
        Runtime._send_message(None, None, "alone")  # type: ignore[arg-type]
    assert sent == ["alone"]
    assert (AppSession.flush_browser_queue, Runtime._send_message, Runtime._enqueued_some_message) == plain


def test_the_loop_tells_itself_at_once_and_a_thread_through_the_loop() -> None:
    async def told() -> tuple[bool, bool, bool]:
        need = asyncio.Event()
        objects = SimpleNamespace(eventloop=asyncio.get_running_loop(), need_send_data=need)
        runtime: Any = SimpleNamespace(_get_async_objs=lambda: objects)
        Runtime._enqueued_some_message(runtime)
        by_itself = need.is_set()
        need.clear()
        await asyncio.to_thread(Runtime._enqueued_some_message, runtime)
        at_once = need.is_set()
        await asyncio.sleep(0.01)
        return by_itself, at_once, need.is_set()

    with passed_on_together():
        by_itself, _, heard = asyncio.run(told())
    assert (by_itself, heard) == (True, True)
    assert asyncio.run(told())[0] is False, "Streamlit itself goes through the loop"

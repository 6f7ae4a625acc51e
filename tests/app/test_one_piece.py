"""An answer to a move goes to the browser in one piece: the gate before a WebSocket, by Streamlit's own messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from peftcalc.ui.server import one_piece
from peftcalc.ui.server.one_piece import OnePiece

Event = dict[str, Any]


def began(*fragments: str) -> Event:
    message = ForwardMsg()
    message.new_session.name = "app"
    message.metadata.run.fragment_ids.extend(fragments)
    return sent(message)


def drawn(text: str = "4 bits") -> Event:
    message = ForwardMsg()
    message.delta.new_element.markdown.body = text
    return sent(message)


def ended() -> Event:
    return sent(ForwardMsg(script_finished=ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY))


def sent(message: ForwardMsg) -> Event:
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


def through_the_gate(events: list[Event], rest: int = 0) -> list[int]:
    """How much has arrived after each event, and after as many further turns of the loop."""
    arrived: list[Any] = []
    counts: list[int] = []

    async def send(event: Any) -> None:
        arrived.append(event)

    async def server(scope: Any, receive: Any, send: Any) -> None:
        for event in events:
            await send(event)
            counts.append(len(arrived))
        for _ in range(rest):
            await asyncio.sleep(0)
            counts.append(len(arrived))

    async def receive() -> Event:
        return {}

    asyncio.run(OnePiece(server)({"type": "websocket"}, receive, send))
    assert arrived == events[: len(arrived)]
    return counts


def test_a_fragments_answer_is_held_until_its_run_has_ended() -> None:
    run = [began("f"), drawn(), drawn("x" * one_piece.LARGEST_OF_INTEREST), ended(), drawn()]
    assert through_the_gate(run) == [0, 0, 0, 4, 5]


def test_the_whole_page_goes_out_as_it_comes_even_after_a_fragment_that_never_ended() -> None:
    assert through_the_gate([began(), drawn(), ended()]) == [1, 2, 3]
    assert through_the_gate([began("f"), drawn(), began(), drawn()]) == [0, 0, 3, 4]


def test_an_end_of_the_connection_lets_everything_go() -> None:
    assert through_the_gate([began("f"), drawn(), {"type": "websocket.close"}]) == [0, 0, 3]


def test_a_long_run_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_piece, "HELD_SECONDS", 0.0)
    counts = through_the_gate([began("f"), drawn()], rest=9)
    assert counts[:2] == [0, 0]
    assert counts[-1] == 2


def test_other_requests_are_passed_on() -> None:
    async def server(scope: Any, receive: Any, send: Any) -> None:
        await send("as it is")

    heard: list[Any] = []

    async def send(event: Any) -> None:
        heard.append(event)

    asyncio.run(OnePiece(server)({"type": "http"}, None, send))  # type: ignore[arg-type]
    assert heard == ["as it is"]

"""An answer to a move goes to the browser in one piece: the gate before a WebSocket, by Streamlit's own messages."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
import uvicorn
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from peftcalc.ui.server import front, one_piece
from peftcalc.ui.server.asked_once import LARGEST, LONGEST, MOST, PATIENCE, AskedOnce
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


def ended(early: bool = False) -> Event:
    how = ForwardMsg.FINISHED_EARLY_FOR_RERUN if early else ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
    return sent(ForwardMsg(script_finished=how))


def at_rest(running: bool = False) -> Event:
    message = ForwardMsg()
    message.session_status_changed.script_is_running = running
    return sent(message)


def sent(message: ForwardMsg) -> Event:
    return {"type": "websocket.send", "bytes": message.SerializeToString()}


def through_the_gate(events: list[Event], rest: int = 0, left_out: tuple[Event, ...] = ()) -> list[int]:
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
    assert arrived == [event for event in events if event not in left_out][: len(arrived)]
    return counts


def test_a_fragments_answer_is_held_until_the_server_rests() -> None:
    large = drawn("x" * one_piece.LARGEST_OF_INTEREST)
    run = [began("f"), at_rest(running=True), drawn(), large, ended(), at_rest(), drawn()]
    assert through_the_gate(run) == [0, 0, 0, 0, 0, 6, 7]


def test_a_message_is_read_up_to_its_largest_size() -> None:
    name = "x" * (one_piece.LARGEST_OF_INTEREST - len(began("x")["bytes"]) - 20)
    name += "x" * (one_piece.LARGEST_OF_INTEREST - len(began(name)["bytes"]))
    assert len(began(name)["bytes"]) == one_piece.LARGEST_OF_INTEREST
    assert through_the_gate([began(name), drawn()]) == [0, 0], "a fragment's run: it is held"
    assert through_the_gate([began(f"{name}x"), drawn()]) == [1, 2], "too large to be a fragment's"


def test_a_run_that_follows_at_once_goes_out_with_the_one_before() -> None:
    assert through_the_gate([began("f"), drawn(), ended(), began("f"), drawn(), ended(), at_rest()])[-2:] == [0, 7]


def test_a_rest_between_a_callback_s_run_and_the_fragments_that_it_asks_for_is_not_told() -> None:
    between = {**at_rest(), "name": "between"}
    other = [began("f", "g"), drawn(), ended(), at_rest()]
    run = [began("f"), ended(early=True), between, *other]
    assert through_the_gate(run, left_out=(between,)) == [0, 0, 0, 0, 0, 0, 6]


def test_a_rest_is_told_late_where_nothing_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_piece, "HELD_SECONDS", 0.0)
    assert through_the_gate([began("f"), ended(early=True), at_rest()], rest=9)[-1] == 3


def test_the_last_message_is_what_the_front_end_waits_for() -> None:
    assert len(at_rest()["bytes"]) <= 2 < len(ended()["bytes"]) + len(began("f")["bytes"])
    assert "byteLength <= 2" in front.TOGETHER


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


MESSAGES = 30


def test_what_was_held_goes_over_the_network_in_one_packet() -> None:
    """Counted by the system at the other end of a real server's connection."""
    if not hasattr(socket, "TCP_INFO"):
        pytest.skip("needs Linux, which tells of packets")
    packets = asyncio.run(packets_of([began("f"), *[drawn()] * MESSAGES, ended(), at_rest()]))
    assert packets == 1


async def packets_of(events: list[Event]) -> int:
    """Segments with data in which a client is given these messages."""

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        for event in events:
            await send(event)
        await receive()

    config = uvicorn.Config(OnePiece(server), port=0, lifespan="off", log_level="error", ws="websockets-sansio")
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as client:
        before = segments(client)
        await client.send(b"go")
        for _ in events:
            await client.recv()
        after = segments(client)
    running.should_exit = True
    await task
    return after - before


def segments(client: Any) -> int:
    """`tcpi_data_segs_in` of Linux's `struct tcp_info`."""
    told = client.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return int(struct.unpack_from("I", told, 152)[0])


def asks(fragment: str, by_timer: bool = True) -> bytes:
    state = ClientState(fragment_id=fragment, is_auto_rerun=by_timer)
    return BackMsg(rerun_script=state).SerializeToString()


def over(how: ForwardMsg.ScriptFinishedStatus.ValueType, *fragments: str) -> ForwardMsg:
    message = ForwardMsg(script_finished=how)
    message.metadata.run.fragment_ids.extend(fragments)
    return message


def test_what_a_timer_asks_again_is_heard_when_it_was_answered_and_not_before() -> None:
    asked = AskedOnce()
    assert asked.passes(asks("f"), 0.0)
    assert not asked.passes(asks("f"), 0.2)
    assert asked.passes(asks("g"), 0.2)
    asked.answered(over(ForwardMsg.FINISHED_EARLY_FOR_RERUN, "f"))
    assert not asked.passes(asks("f"), 0.3), "a page comes of it, which is not there"
    asked.answered(over(ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY, "h"))
    assert asked.passes(asks("f"), 0.3), "what it ended early for is there"
    asked.answered(over(ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY, "f"))
    assert asked.passes(asks("f"), 0.4)
    assert not asked.passes(asks("g"), 0.4)
    asked.answered(over(ForwardMsg.FINISHED_SUCCESSFULLY))
    assert asked.passes(asks("f"), 0.5)
    assert asked.passes(asks("g"), 0.5)


def test_a_part_that_nobody_answers_is_heard_again_later() -> None:
    asked = AskedOnce()
    assert asked.passes(asks("f"), 0.0)
    assert not asked.passes(asks("f"), PATIENCE - 0.1)
    assert asked.passes(asks("f"), PATIENCE)


def test_names_that_somebody_invents_are_not_all_remembered() -> None:
    asked = AskedOnce()
    for number in range(1_000):
        assert asked.passes(asks(f"invented {number}"), 0.0)
    assert asked.passes(asks("x" * 10_000), 0.0)
    assert sum(map(len, asked._since)) < 20_000


def test_names_and_questions_of_a_browser_s_own_size_are_remembered() -> None:
    assert (LARGEST, LONGEST, MOST) == (200_000, 100, 200), "Streamlit's names have 32 characters"
    asked = AskedOnce()
    for name, again in (("n" * LONGEST, False), ("n" * (LONGEST + 1), True)):
        assert asked.passes(asks(name), 0.0)
        assert asked.passes(asks(name), 0.1) is again
    for size, again in ((LARGEST, False), (LARGEST + 1, True)):
        message = asks(f"of {size}")
        state = ClientState(fragment_id=f"of {size}", is_auto_rerun=True)
        state.query_string = "x" * (size - len(message) - 8)
        message = BackMsg(rerun_script=state).SerializeToString()
        state.query_string += "x" * (size - len(message))
        message = BackMsg(rerun_script=state).SerializeToString()
        assert len(message) == size
        assert asked.passes(message, 0.0)
        assert asked.passes(message, 0.1) is again
    asked = AskedOnce()
    for number in range(MOST):
        assert asked.passes(asks(f"part {number}"), 0.0)
    assert not asked.passes(asks("part 0"), 0.1), "as many as are remembered"
    assert asked.passes(asks("one more"), 0.1)
    assert asked.passes(asks("part 0"), 0.2), "one more than a page has: all are forgotten"


def test_what_a_hand_does_is_always_heard_and_what_is_no_message_too() -> None:
    asked = AskedOnce()
    for _ in range(2):
        assert asked.passes(asks("f", by_timer=False), 0.0)
        assert asked.passes(asks(""), 0.0)
        assert asked.passes(b"\xff\xff", 0.0)
        assert asked.passes(None, 0.0)


def test_the_server_hears_a_timer_once_through_the_door() -> None:
    incoming = [{"bytes": asks("f")}, {"bytes": asks("f")}, {"bytes": asks("f", by_timer=False)}]
    heard: list[Any] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        heard.extend([await receive(), await receive()])

    async def receive() -> Event:
        return incoming.pop(0)

    async def send(event: Any) -> None:
        raise AssertionError

    asyncio.run(OnePiece(server)({"type": "websocket"}, receive, send))
    assert heard == [{"bytes": asks("f")}, {"bytes": asks("f", by_timer=False)}]

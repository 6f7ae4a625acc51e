"""A visitor without a browser: Streamlit's WebSocket protocol, spoken with Streamlit's own message classes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates

ROOT = Path(__file__).parents[1]
TIMEOUT = 60.0


class Visitor:
    """One connection with a page open."""

    def __init__(self, url: str, query: str = "", page: str = "train") -> None:
        self.address = f"ws{url.removeprefix('http')}/_stcore/stream"
        self.query, self.page = query, page
        self.elements: dict[tuple[int, ...], Element] = {}
        self.fragments: dict[str, float] = {}
        """Fragments that ask to be run again, with their interval in seconds."""
        self.errors: list[str] = []
        self.page_hash = ""

    async def __aenter__(self) -> Visitor:
        self.socket = await websockets.connect(self.address, subprotocols=["streamlit"], max_size=None)  # type: ignore[list-item]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def open(self) -> None:
        """The page as a fresh link shows it."""
        await self._ask(ClientState(query_string=self.query, page_name=self.page))

    async def press(self, label: str) -> None:
        """Click the button of this label."""
        found = [
            e.button.id for e in self.elements.values() if e.WhichOneof("type") == "button" and e.button.label == label
        ]  # type: ignore[attr-defined]
        if not found:
            raise RuntimeError(f"there is no button {label!r}")
        clicked = WidgetStates(widgets=[WidgetState(id=found[0], trigger_value=True)])
        await self._ask(ClientState(query_string=self.query, page_script_hash=self.page_hash, widget_states=clicked))

    async def look(self) -> float:
        """Run the polling fragment as the browser's timer does; seconds until the server is through."""
        fragment = next(iter(self.fragments))
        started = time.monotonic()
        state = ClientState(
            query_string=self.query, page_script_hash=self.page_hash, fragment_id=fragment, is_auto_rerun=True
        )
        await self._ask(state)
        return time.monotonic() - started

    @property
    def looking(self) -> bool:
        """True while the page wants to be looked at again."""
        return bool(self.fragments)

    def says(self, words: str) -> bool:
        """True when the page shows these words now."""
        return any(words in str(element) for element in self.elements.values())

    async def _ask(self, state: ClientState) -> None:
        await self.socket.send(BackMsg(rerun_script=state).SerializeToString())
        async with asyncio.timeout(TIMEOUT):
            while not self._take(ForwardMsg.FromString(await self.socket.recv())):  # type: ignore[arg-type]
                pass

    def _take(self, message: ForwardMsg) -> bool:
        """Take in one message; True when the script has run to its end and no other run follows."""
        kind = message.WhichOneof("type")
        if kind == "new_session":
            if not message.metadata.run.fragment_ids:  # the whole page runs again
                self.elements.clear()
                self.fragments.clear()
        elif kind == "navigation":
            self.page_hash = message.navigation.page_script_hash
        elif kind == "auto_rerun":
            self.fragments[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self.fragments.pop(fragment, None)
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            if element.WhichOneof("type") == "exception":
                self.errors.append(element.exception.message)
            self.elements[tuple(message.metadata.delta_path)] = element
        elif kind == "script_finished":
            finished = ForwardMsg.ScriptFinishedStatus.Name(message.script_finished)
            if finished == "FINISHED_WITH_COMPILE_ERROR":
                self.errors.append(finished)
            return finished != "FINISHED_EARLY_FOR_RERUN"
        return False


def memory_bytes(process: int) -> tuple[float, float]:
    """Memory of a process and of its children: proportional set size, in which shared pages count once in all."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return _memory_of(str(process)), sum(_memory_of(name) for name in children)


def _memory_of(process: str) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return sum(1024.0 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except OSError:
        return 0.0  # it has just ended

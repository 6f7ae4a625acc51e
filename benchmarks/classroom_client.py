"""A visitor without a browser: Streamlit's WebSocket protocol, spoken with Streamlit's own message classes.

    async with Visitor(url, page="memory") as visitor:
        await visitor.open()
        control = random.choice(visitor.controls())
        seconds = await visitor.move(control, control.another(random))

As a browser does, it tells the server which large messages it still holds, and a control that stands in a fragment
runs the fragment again and nothing else. A browser's timers do not wait for an answer: `ask` does not either, and
`answered` has the seconds of each look once `hear` has heard its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable

import websockets
from classroom_controls import MAIN_KINDS, Control, Held, control_of
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates

TIMEOUT = 120.0


class Visitor:
    """One connection with a page open.

    Attributes:
        shown: what the page shows now, by its place.
        drawers: buttons whose box the server fills once it is open, by label: their id and their fragment.
        fragments: fragments that ask to be run again, with their interval in seconds.
        pages: addresses of the app's pages, once one of them is open.
        errors: exceptions that the page has shown.
        wholes: how often it was shown a whole page.
    """

    def __init__(self, url: str, query: str = "", page: str = "train") -> None:
        self.address = f"ws{url.removeprefix('http')}/_stcore/stream"
        self.query, self.page = query, page
        self.shown: dict[tuple[int, ...], Held] = {}
        self.fragments: dict[str, float] = {}
        self.drawers: dict[str, tuple[str, str]] = {}
        self.pages: list[str] = []
        self.errors: list[str] = []
        self.page_hash = ""
        self.reruns = self.wholes = 0
        self.answered: list[tuple[float, bool]] = []
        """Of each look of a timer how long it took, and whether the whole page came of it."""
        self._asked: list[tuple[str, float]] = []
        """Looks that nobody has answered yet: the fragment, and when it was asked for."""
        self._begun = 0.0
        self._short: set[str] = set()
        """Fragments whose run ended early for another, which goes on."""
        self._values: dict[str, WidgetState] = {}
        self._kept: dict[str, ForwardMsg] = {}
        """Large messages by their hash, which the server sends once."""
        self._run: tuple[str, frozenset[str]] = ("", frozenset())
        """The script run that is being told of, and its fragments; none for the whole page."""

    async def __aenter__(self) -> Visitor:
        self.socket = await websockets.connect(self.address, subprotocols=["streamlit"], max_size=None)  # type: ignore[list-item]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def open(self) -> float:
        """The page as a fresh link shows it; seconds until the server is through."""
        return await self._ask(ClientState(query_string=self.query, page_name=self.page))

    async def press(self, label: str, patience: float = TIMEOUT) -> float:
        """Click the button whose label begins so; a TimeoutError where nothing comes of it, as when the page is just
        being left."""
        held = self._find("button", label)
        async with asyncio.timeout(patience):
            return await self._rerun(held.fragment, WidgetState(id=held.element.button.id, trigger_value=True))

    async def write(self, label: str, text: str, kind: str = "text_area") -> float:
        """Fill the text area, or the "text_input", whose label holds these words."""
        held = self._find(kind, label)
        return await self._rerun(held.fragment, WidgetState(id=getattr(held.element, kind).id, string_value=text))

    async def choose(self, label: str, option: str) -> float:
        """Press one of a row of buttons."""
        held = self._find("button_group", label)
        state = WidgetState(id=held.element.button_group.id)
        state.string_array_value.data.append(option)
        return await self._rerun(held.fragment, state)

    async def pull(self, label: str) -> float:
        """Open the drawer whose label begins so: its controls are drawn from then on."""
        found = next((drawer for name, drawer in self.drawers.items() if name.startswith(label)), None)
        if found is None:
            raise RuntimeError(f"/{self.page} has no drawer {label!r}")
        name, fragment = found
        return await self._rerun(fragment, WidgetState(id=name, bool_value=True))

    async def look(self) -> float:
        """Run the first polling fragment and wait for it; seconds until it is through."""
        return await self._rerun(next(iter(self.fragments)), is_auto_rerun=True)

    async def ask(self, fragment: str) -> None:
        """Ask for a polling fragment as the browser's timer does, and go on; a look lasts from the first ask that was
        not answered."""
        if all(fragment != asked for asked, _ in self._asked):
            self._asked.append((fragment, time.monotonic()))
        await self._send(self._state(fragment, [], True))

    def forget(self, patience: float) -> int:
        """Wait no longer for looks that nobody answers, since the server has forgotten their fragment; how many."""
        before, now = len(self._asked), time.monotonic()
        self._asked = [(fragment, asked) for fragment, asked in self._asked if now - asked < patience]
        return before - len(self._asked)

    async def hear(self, seconds: float) -> None:
        """Take in what the server says by itself, for so long: a fragment may be told to ask soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    self._take(ForwardMsg.FromString(await self.socket.recv()))  # type: ignore[arg-type]

    async def move(self, control: Control, state: WidgetState) -> float:
        """Give a control a new value; seconds until the server is through."""
        return await self._rerun(control.fragment, state)

    def controls(self, *kinds: str) -> list[Control]:
        """The controls that the page shows, of these kinds (`classroom_controls.KINDS`)."""
        found = (control_of(held, self._values) for held in self.shown.values())
        return [control for control in found if control is not None and control.kind in kinds]

    def main_controls(self) -> list[Control]:
        """What a visitor of the page moves: its sliders and numbers, or where there are none what there is."""
        return next(filter(None, (self.controls(*kinds) for kinds in MAIN_KINDS)), [])

    def has(self, kind: str, label: str) -> bool:
        """True when the page shows such an element with these words in its label."""
        return any(held.is_a(kind, label) for held in self.shown.values())

    @property
    def looking(self) -> bool:
        """True while the page wants to be looked at again."""
        return bool(self.fragments)

    def says(self, words: str) -> bool:
        """True when the page shows these words now."""
        written = words.encode()
        return any(written in held.written for held in self.shown.values())

    @property
    def texts(self) -> list[str]:
        """What the page says in words."""
        return [held.element.markdown.body for held in self.shown.values() if held.element.markdown.body]

    def _find(self, kind: str, label: str) -> Held:
        found = next((held for held in self.shown.values() if held.is_a(kind, label)), None)
        if found is None:
            raise RuntimeError(f"/{self.page} has no {kind} {label!r}")
        return found

    async def _rerun(self, fragment: str, state: WidgetState | None = None, is_auto_rerun: bool = False) -> float:
        changed = {} if state is None else {state.id: state}
        if state is not None and not state.trigger_value:
            self._values[state.id] = state
        return await self._ask(self._state(fragment, [*changed.values()], is_auto_rerun))

    def _state(self, fragment: str, changed: list[WidgetState], is_auto_rerun: bool) -> ClientState:
        """What a browser says when it asks."""
        values = {**self._values, **{state.id: state for state in changed}}
        return ClientState(
            query_string=self.query,
            page_script_hash=self.page_hash,
            fragment_id=fragment,
            is_auto_rerun=is_auto_rerun,
            widget_states=WidgetStates(widgets=[*values.values()]),
        )

    async def _send(self, state: ClientState) -> None:
        state.cached_message_hashes.extend(self._kept)
        await self.socket.send(BackMsg(rerun_script=state).SerializeToString())

    async def _ask(self, state: ClientState) -> float:
        started = time.monotonic()
        await self._send(state)
        heard = ended = False
        try:
            async with asyncio.timeout(TIMEOUT):
                while not (heard and ended):
                    ended = self._take(ForwardMsg.FromString(await self.socket.recv()))  # type: ignore[arg-type]
                    heard = heard or (self._begun >= started and self._ran(state.fragment_id))
        except TimeoutError as error:
            asked = state.fragment_id or "the whole page"
            raise TimeoutError(
                f"/{self.page}: no answer for {asked} in {TIMEOUT:.0f} s; the last run was of "
                f"{sorted(self._run[1]) or 'the whole page'}, {self._begun - started:+.1f} s after the question"
            ) from error
        self.reruns += 1
        return time.monotonic() - started

    def _ran(self, fragment: str) -> bool:
        """Whether the newest run is of this fragment or of the whole page, or follows one that was cut short for it."""
        return not self._run[1] or fragment in self._run[1] or fragment in self._short

    def _take(self, message: ForwardMsg) -> bool:
        """Take in one message; True when the script has run to its end and no other run follows."""
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            whole = ForwardMsg()
            whole.CopyFrom(self._kept[message.ref_hash])
            whole.metadata.CopyFrom(message.metadata)
            message, kind = whole, "delta"
        elif message.metadata.cacheable:
            self._kept[message.hash] = message
        if kind == "new_session":
            self._begin(message.metadata.run.script_run_id, message.metadata.run.fragment_ids)
        elif kind == "navigation":
            self.page_hash = message.navigation.page_script_hash
            self.pages = [page.url_pathname for page in message.navigation.app_pages if not page.external_url]
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            self.fragments[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self.fragments.pop(fragment, None)
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._show(message)
        elif kind == "delta" and message.delta.add_block.popover.id:
            popover = message.delta.add_block.popover
            self.drawers[popover.label] = (popover.id, message.delta.fragment_id)
        elif kind == "script_finished":
            return self._end(message)
        return False

    def _begin(self, run: str, fragments: Iterable[str]) -> None:
        self._run, self._begun = (run, frozenset(fragments)), time.monotonic()
        if not self._run[1]:  # the whole page runs again
            self.fragments.clear()

    def _show(self, message: ForwardMsg) -> None:
        element: Element = message.delta.new_element
        if element.WhichOneof("type") == "exception":
            self.errors.append(element.exception.message)
        held = Held(element, message.delta.fragment_id, self._run[0])
        self.shown[tuple(message.metadata.delta_path)] = held
        self._values.pop(held.set_by_server, None)

    def _end(self, message: ForwardMsg) -> bool:
        """What a finished run has not drawn again is gone: of the whole page, or of the fragments that ran."""
        finished = ForwardMsg.ScriptFinishedStatus.Name(message.script_finished)
        if finished == "FINISHED_WITH_COMPILE_ERROR":
            self.errors.append(finished)
        if finished == "FINISHED_EARLY_FOR_RERUN":
            self._short |= self._run[1]
            return False
        run, fragments = self._run
        self.wholes += not fragments
        now, looks = time.monotonic(), [one for one in self._asked if self._ran(one[0]) and one[1] <= self._begun]
        self.answered += [(now - asked, not fragments) for _, asked in looks]
        self._asked = [one for one in self._asked if one not in looks]
        self._short.clear()
        self.shown = {
            place: held
            for place, held in self.shown.items()
            if held.run == run or (fragments and held.fragment not in fragments)
        }
        return True

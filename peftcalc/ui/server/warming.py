"""A server that has just started visits its own pages while nobody waits.

    app = st.App(script, lifespan=warming.while_idle)

The first visitor of a page pays for what it loads: libraries, the catalogue, the stored runs, figures that are drawn
once. Each page is therefore opened once by the server itself, as a visitor who looks at nothing: through the same door
as everybody, so that it warms whatever the page needs, now and after the page has changed. Before each page it waits
until the process rests, and what a visitor asks for in between comes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from peftcalc.ui.background import queue
from peftcalc.ui.classroom import calls
from peftcalc.ui.pages import PAGES
from peftcalc.ui.sections import KEY
from peftcalc.ui.server.gathered import gathered
from peftcalc.ui.server.in_turn import in_turn
from peftcalc.ui.server.passed_on import passed_on_together
from peftcalc.ui.server.settings import sections_read_once, theme_written_once

if TYPE_CHECKING:
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from streamlit.runtime import Runtime

LOOK_SECONDS = 0.25
"""How long the process is watched before a page is opened."""
RESTS = 0.2
"""Share of a core below which the process rests: nobody's page is being made."""
LONGEST_PAGE_SECONDS = 60.0
TURN_SECONDS = 0.0005
"""How long a thread keeps the interpreter when others want it. Each message that is sent gives it away and waits for it
again, a hundred times a page: with Python's 5 ms, and a few pages being made, that took longer than to make them."""
LAST = "train"
"""It starts the workers, which are in the way of other pages until they have loaded."""


@contextlib.asynccontextmanager
async def while_idle(app: Any) -> AsyncIterator[None]:
    """The server's life: warming, and the calls of a classroom, begin with it and end with it at the latest."""
    from streamlit.runtime import get_instance

    del app
    sys.setswitchinterval(TURN_SECONDS)
    loop = asyncio.get_running_loop()
    with in_turn(), gathered(loop), passed_on_together(), sections_read_once(), theme_written_once():
        tasks = [asyncio.create_task(calls.serve()), asyncio.create_task(warm(get_instance()))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def warm(runtime: Runtime) -> None:
    """Open every page once, each when the process rests."""
    for path in sorted((entry.path for entry in PAGES), key=lambda path: path == LAST):
        sections = await _warmed(runtime, path)
        waiting = sections[1:]
        for section in waiting:
            found = await _warmed(runtime, path, urlencode({KEY: section}))
            if "" in sections:  # a row of buttons, of which each group of tabs has its own
                waiting += [name for name in found if name not in (*sections, *waiting)]
    while await _busy():
        pass
    set_aside()
    await asyncio.to_thread(queue)  # its workers load for seconds what the first stranger's model needs


def set_aside() -> None:
    """What is loaded by now stays: Python's collector, which would look through all of it again and again, leaves it.

    Each time it took 0.1 s, in which everybody waited: often while a class opens its pages, since it comes when many
    objects have been added.
    """
    gc.collect()
    gc.freeze()


async def _warmed(runtime: Runtime, path: str, query: str = "") -> list[str]:
    """Open a page as soon as the process rests; the names of its tabs, of which the first is open."""
    while await _busy():
        pass
    try:
        async with asyncio.timeout(LONGEST_PAGE_SECONDS):
            return await _open(runtime, path, query)
    except Exception:  # a visitor meets the same, and is told
        logging.getLogger(__name__).warning("the page /%s?%s could not be warmed", path, query, exc_info=True)
        return []


async def _busy() -> bool:
    wall, spent = time.monotonic(), time.process_time()
    await asyncio.sleep(LOOK_SECONDS)
    return time.process_time() - spent > RESTS * (time.monotonic() - wall)


async def _open(runtime: Runtime, path: str, query: str) -> list[str]:
    """One page, in a session of its own that is closed again; the names of its tabs."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ClientState_pb2 import ClientState

    nobody = _Nobody()
    session = runtime.connect_session(nobody, user_info={})
    try:
        runtime.handle_backmsg(session, BackMsg(rerun_script=ClientState(page_name=path, query_string=query)))
        await nobody.has_seen_it.wait()
        return list(nobody.tabs)
    finally:
        runtime.close_session(session)


class _Nobody:
    """A visitor who hears that the script has come to its end, and the names of tabs, or of what a page goes deeper
    into, none of it open (Streamlit's `SessionClient`)."""

    client_context = None
    """No headers, no cookies, no address."""

    def __init__(self) -> None:
        self.has_seen_it = asyncio.Event()
        self.tabs: dict[str, None] = {}

    def write_forward_msg(self, msg: ForwardMsg) -> None:
        """Called in the server's event loop."""
        tab = msg.delta.add_block.tab.label
        if tab:
            self.tabs[tab] = None
        deeper = msg.delta.new_element.button_group
        if deeper.id.endswith(f"-{KEY}"):
            self.tabs |= dict.fromkeys(["", *(option.content for option in deeper.options)])
        if msg.WhichOneof("type") == "script_finished":
            self.has_seen_it.set()

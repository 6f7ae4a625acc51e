"""The views of `peftcalc/ui/components` on a page without Streamlit, served from the loopback interface."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import peftcalc.ui.components

FOLDER = Path(peftcalc.ui.components.__file__).parent
TIMEOUT = 20_000


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        pass


@contextmanager
def served_views() -> Iterator[str]:
    """The folder of the views as a site; yields the address of its empty page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(FOLDER)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/static.html"
    finally:
        server.shutdown()
        server.server_close()


SHOW = """async ([place, data]) => {
  const { show } = await import('./static.js');
  window.told ??= {};
  window.shown ??= {};
  const made = Object.assign(document.createElement('div'), { id: place });
  const element = document.querySelector(`#${place}`) ?? document.body.appendChild(made);
  window.told[place] = [];
  window.shown[place] = show(element, data, state => window.told[place].push(state));
}"""


class Views:
    """A page with views: shows them, asks what they told and what they said, and notes errors of the console."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.errors = page, []
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)

    def show(self, data: Mapping[str, Any], place: str = "one") -> Any:
        """A view, once it is drawn: its root."""
        self.page.evaluate(SHOW, [place, dict(data)])
        root = self.page.locator(f"#{place} .x")
        root.and_(self.page.locator(f"[data-ready='{data['view']}']")).wait_for(timeout=TIMEOUT)
        self.frame()
        return root

    def update(self, data: Mapping[str, Any], place: str = "one") -> None:
        """The same place gets data again, as when a script has run."""
        self.page.evaluate("([place, data]) => window.shown[place].update(data)", [place, dict(data)])
        self.frame()

    def told(self, place: str = "one") -> list[dict[str, Any]]:
        """The messages to the server until now."""
        return self.page.evaluate("place => window.told[place]", place)

    def frame(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def text(self, spot: str, place: str = "one") -> str:
        """What stands in the part of a drawing that a view named so."""
        return self.spot(spot, place).text_content()

    def spot(self, name: str, place: str = "one") -> Any:
        return self.page.locator(f"#{place} [data-spot='{name}']")

    def touch(self, element: Any, right: float, down: float) -> None:
        """A finger on the middle of an element, moved and lifted."""
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        session = self.page.context.new_cdp_session(self.page)
        for kind, share in (("touchStart", 0), ("touchMove", 0.5), ("touchMove", 1), ("touchEnd", None)):
            points = [] if share is None else [{"x": x + right * share, "y": y + down * share}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        session.detach()
        self.frame()

    def violations(self) -> list[str]:
        """What axe finds seriously wrong."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        return [f"{one['id']}: {one['help']}" for one in found if one["impact"] in ("serious", "critical")]

    def drag(self, element: Any, right: float, down: float, steps: int = 5) -> None:
        """Press in the middle of an element, move, and let go."""
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(1, steps + 1):
            self.page.mouse.move(x + right * step / steps, y + down * step / steps)
        self.page.mouse.up()
        self.frame()

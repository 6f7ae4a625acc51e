"""The HTML that a link into the app is answered with: Streamlit's own, with the page's title and two scripts.

Streamlit's front end, opened at `/train`, looks for its server at `/train/_stcore/health` first and meets two 404s on
every visit. Told where it is (the address without the page's name, so that a prefix of a proxy stays), it asks once.

And it begins to draw with the first message of an answer, goes through all elements of the page for it, and once more
for the rest: what comes together is given to it together (`one_piece` sends it so).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from streamlit.file_util import get_static_dir

from peftcalc.ui.pages import PAGES, PageEntry

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

WHERE = """<script>
  {
    const base = location.origin + location.pathname.replace(/\\/@@\\/?$/, "/")
    window.__streamlit = { BACKEND_BASE_URL: base, MAIN_PAGE_BASE_URL: base, ...window.__streamlit }
  }
</script>
"""
TOGETHER = """<script>
  {
    const listen = WebSocket.prototype.addEventListener
    WebSocket.prototype.addEventListener = function (kind, hear, ...more) {
      if (kind !== "message") return listen.call(this, kind, hear, ...more)
      const came = []
      let timer
      const tell = () => {
        clearTimeout(timer)
        timer = undefined
        for (const event of came.splice(0)) hear.call(this, event)
      }
      listen.call(this, kind, event => {
        came.push(event)
        if (event.data.byteLength <= 2) tell() // a run's last message, which says that nothing runs
        else timer ??= setTimeout(tell, 30)
      }, ...more)
    }
  }
</script>
"""


def routes() -> list[Route]:
    """One for each page."""
    from starlette.routing import Route

    return [Route(f"/{entry.path}", _answer) for entry in PAGES]


async def _answer(request: Request) -> HTMLResponse:
    from starlette.responses import HTMLResponse

    entry = next(entry for entry in PAGES if entry.path == request.url.path.strip("/").rpartition("/")[2])
    return HTMLResponse(html(entry), headers={"Cache-Control": "no-cache"})


@cache
def html(entry: PageEntry) -> str:
    """Streamlit's page with this entry's title, and the scripts that run before its own.

    >>> "<title>Train · peftcalc</title>" in html(next(entry for entry in PAGES if entry.path == "train"))
    True
    """
    text = (Path(get_static_dir()) / "index.html").read_text(encoding="utf-8")
    before, after = text.split("<title>Streamlit</title>", 1)
    where = WHERE.replace("@@", entry.path)
    return f"{before}<title>{entry.tab}</title>\n{where}{TOGETHER}{after}"

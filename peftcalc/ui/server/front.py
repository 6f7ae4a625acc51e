"""The HTML that a link into the app is answered with: Streamlit's own, with the page's title and where the server is.

Streamlit's front end, opened at `/train`, looks for its server at `/train/_stcore/health` first and meets two 404s on
every visit. Told where it is (the address without the page's name, so that a prefix of a proxy stays), it asks once.
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


def routes() -> list[Route]:
    """One for each page but the front page, which Streamlit serves as it is."""
    from starlette.routing import Route

    return [Route(f"/{entry.path}", _answer) for entry in PAGES if entry.path]


async def _answer(request: Request) -> HTMLResponse:
    from starlette.responses import HTMLResponse

    entry = next(entry for entry in PAGES if entry.path == request.url.path.strip("/").rpartition("/")[2])
    return HTMLResponse(html(entry), headers={"Cache-Control": "no-cache"})


@cache
def html(entry: PageEntry) -> str:
    """Streamlit's page with this entry's title, and the script that says where the server is.

    >>> "<title>Train · peftcalc</title>" in html(next(entry for entry in PAGES if entry.path == "train"))
    True
    """
    text = (Path(get_static_dir()) / "index.html").read_text(encoding="utf-8")
    before, after = text.split("<title>Streamlit</title>", 1)
    where = WHERE.replace("@@", entry.path)
    return f"{before}<title>{entry.tab}</title>\n{where}{after}"

"""What a move costs the browser, counted and not timed: passes of the front end over the page, and what it draws."""

from __future__ import annotations

import moves_in_browser
import passes
import pytest
import visit
from moves_in_browser import IN_PICTURE, KINDS, leanest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MOST = {
    "parameters": 600,
    "memory": 1_050,
    "choose": 1_000,
    "rank": 950,
    "dora": 700,
    "quantization": 750,
    "findings": 900,
    "train": 1_150,
}
"""Components drawn in a move, by page; Train's is a menu's, whose list takes 460 to open and close. With Streamlit's
own navigation and an answer in pieces they were 1,700 to 4,200; on a bare page with a slider and a chart they are 330
to 400."""


@pytest.mark.parametrize("link", MOST)
def test_the_front_end_goes_through_a_page_once_a_move(browser, app_url, link):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(passes.SCRIPT)
    page.add_init_script(moves_in_browser.RESTED)
    try:
        page.goto(f"{app_url}/{link}", timeout=visit.TIMEOUT)
        visit.Visit(page).settle()
        kind = next(kind for kind in (*KINDS, *IN_PICTURE) if page.locator(kind.where).count())
        number = next(n for n in range(99) if moves_in_browser._in_sight(page, kind, n))
        least = leanest(page, kind, number, moves=6)
        assert passes.whole(least) == 1
        assert sum(least) <= MOST[link]
    finally:
        page.close()

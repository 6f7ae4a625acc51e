"""Every page in a real browser: light and dark, wide and narrow."""

from __future__ import annotations

import pytest
import visit

from peftcalc.ui.pages import PAGES, entry_at

pytestmark = [pytest.mark.browser, pytest.mark.slow]
pages = pytest.mark.parametrize("entry", PAGES, ids=[entry.title for entry in PAGES])


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pages
def test_a_page_is_whole_and_axe_finds_no_serious_violation(browser, app_url, entry, scheme, width):
    opened = visit.visit(browser, f"{app_url}/{entry.path}", width, scheme)
    try:
        assert opened.page.locator("[data-testid=stMain] h1").first.inner_text() == entry.question
        assert opened.page.title() == entry.tab
        assert opened.page.locator("[data-testid=stException]").count() == 0
        assert opened.evaluate(visit.OVERFLOW) <= 1
        assert opened.evaluate(visit.OVERLAPS) == []
        assert opened.evaluate(visit.NAMELESS_PICTURES) == []
        if width == 1280:
            assert opened.evaluate(visit.LENGTH) <= 3_000
            assert serious(opened.page) == []
        assert opened.errors == []
    finally:
        opened.page.context.close()


def serious(page) -> list[str]:
    """What axe finds in the main area: the navigation's list is Streamlit's own, and so is its faulty structure."""
    from axe_playwright_python.sync_playwright import Axe

    main = "[data-testid=stMain]"
    found = Axe().run(page, main, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{v['id']}: {v['help']} at {[n['target'] for n in v['nodes']][:4]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("path", ["", "memory", "train"])
def test_a_link_into_a_cold_server_shows_the_page_in_its_frame(browser, cold_app_url, path):
    entry = entry_at(path)
    opened = visit.visit(browser, f"{cold_app_url}/{entry.path}")
    try:
        heading = opened.page.locator("[data-testid=stMain] h1").first.inner_text()
        assert heading == entry.question
        assert opened.page.title() == entry.tab
        assert opened.page.get_by_text("Laboratory", exact=True).count() == 1
        assert opened.errors == []  # no asset and no question to the server was answered by 404
    finally:
        opened.page.context.close()

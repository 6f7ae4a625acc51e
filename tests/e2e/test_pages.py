"""Every page in a real browser: light and dark, wide and narrow."""

from __future__ import annotations

import pytest
import visit
from pages_seen import small_text

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
        opened.page.wait_for_function(visit.EVERY_CHART_IS_DRAWN)  # a chart whose place has changed is drawn anew
        assert opened.evaluate(visit.NAMELESS_PICTURES) == []
        if width == 1280:
            assert opened.evaluate(visit.LENGTH) <= 3_000
            assert serious(opened.page) == []
        assert opened.errors == []
    finally:
        opened.page.context.close()


def test_a_slider_that_is_moved_to_and_fro_ends_in_no_connection_error(browser, app_url):
    """A browser that asks faster than it is answered has let go of what the server says it has."""
    opened = visit.visit(browser, f"{app_url}/memory", height=720)
    try:
        opened.page.get_by_role("slider").first.focus()
        for key in ("ArrowRight", "ArrowLeft") * 4:
            for _ in range(9):
                opened.page.keyboard.press(key)
            opened.page.wait_for_timeout(700)
        assert opened.page.get_by_text("Connection error").count() == 0
        assert opened.errors == []
    finally:
        opened.page.context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_on_a_telephone_what_is_run_stands_below_the_guess(browser, app_url, width):
    opened = visit.visit(browser, f"{app_url}/findings?section=learning+rate", width)
    try:
        keys = ("run-rates", "prediction-rates")
        run, guess = (opened.page.locator(f".st-key-{key}").first.bounding_box() for key in keys)
        assert (run["y"] > guess["y"] + guess["height"]) or width == 1280
        assert (run["x"] < guess["x"]) == (width == 1280)
    finally:
        opened.page.context.close()


def test_the_words_of_the_navigation_are_not_written_over(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/memory", height=720)
    try:
        ground = "getComputedStyle(document.querySelector('[data-testid=stHeader]')).backgroundColor"
        assert opened.page.evaluate(ground) == "rgb(255, 255, 255)"
    finally:
        opened.page.context.close()


@pytest.mark.parametrize(
    ("link", "view"),
    [("?scene=8", "story"), ("train", "weights"), ("quantization?section=sixty-four+weights", "codes"), ("memory", "")],
)
def test_on_a_projector_no_text_is_smaller_than_sixteen_pixels(browser, app_url, link, view):
    opened = visit.visit(browser, f"{app_url}/{link}{'&' if '?' in link else '?'}projector=true", height=720)
    try:
        if view:
            opened.page.locator(f"[data-ready={view}]").wait_for(timeout=visit.TIMEOUT)
        opened.page.wait_for_function("() => getComputedStyle(document.documentElement).fontSize === '20px'")
        assert small_text(opened.page, 22) != []  # the letters of charts and views are seen
        assert small_text(opened.page) == []
    finally:
        opened.page.context.close()


@pytest.mark.parametrize(
    ("link", "key"), [("memory?section=the+step", "section"), ("memory?section=serving&tasks=true", "tasks")]
)
def test_a_link_lands_on_what_it_names(browser, app_url, link, key):
    opened = visit.visit(browser, f"{app_url}/{link}", height=720)
    try:
        opened.page.wait_for_function(
            f"() => Math.abs(document.querySelector('.st-key-{key}')?.getBoundingClientRect().y - 64) < 8",
            timeout=visit.TIMEOUT,
        )
        controls = opened.page.locator(".st-key-controls-memory").bounding_box()
        assert controls["y"] + controls["height"] > 64, "the controls stay in sight"
        opened.page.mouse.move(1_260, 400)
        opened.page.mouse.wheel(0, -5_000)
        opened.page.wait_for_timeout(700)
        assert opened.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0  # a hand is heard
        assert opened.evaluate(visit.OVERFLOW) <= 1
    finally:
        opened.page.context.close()


def serious(page) -> list[str]:
    """What axe finds in the main area, the line of pages included."""
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
        assert opened.page.locator("nav a[aria-current=page]").inner_text() == entry.title
        assert opened.errors == []  # no asset and no question to the server was answered by 404
    finally:
        opened.page.context.close()

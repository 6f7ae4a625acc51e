"""Views in a real Streamlit page: what a run of the script, a theme, a link and a neighbour leave as they were."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlparse

import pytest
import visit
from served_app import running_app

from peftcalc.counting.worked_example import worked_example

pytestmark = [pytest.mark.browser, pytest.mark.slow]
EXAMPLE = worked_example(rank=3, seed=1)


@pytest.fixture(scope="module")
def url():
    with running_app("tests/support/views_app.py") as (url, _):
        yield url


@pytest.fixture
def opened(browser, url):
    opened = visit.visit(browser, url)
    opened.page.locator("[data-ready=arrow]").wait_for(timeout=visit.TIMEOUT)
    yield opened
    opened.page.context.close()
    assert opened.errors == []


def known(opened, runs: int) -> dict:
    """What the server knows once the script has run so many times."""
    opened.page.get_by_text(f'"runs": {runs}').wait_for(timeout=visit.TIMEOUT)
    opened.settle()
    told = json.loads(opened.page.locator("[data-testid=stCode] code").inner_text())
    assert told["runs"] == runs
    return told


def cell(opened, key: str, spot: str):
    return opened.page.locator(f".st-key-{key} [data-spot='{spot}']")


def drag(opened, element, up: float, release: bool = True) -> None:
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.page.mouse.move(x, y)
    opened.page.mouse.down()
    for step in range(1, 9):
        opened.page.mouse.move(x, y - up * step / 8)
    if release:
        opened.page.mouse.up()


def test_nothing_is_sent_during_a_drag_and_one_message_when_it_ends(opened):
    opened.page.evaluate(
        """() => { const send = WebSocket.prototype.send; window.sent = 0;
                   WebSocket.prototype.send = function (...a) { window.sent++; return send.apply(this, a); }; }"""
    )
    drag(opened, cell(opened, "product", "B0,0"), 24, release=False)
    opened.page.wait_for_timeout(300)
    assert opened.evaluate("window.sent") == 0
    opened.page.mouse.up()
    value = int(EXAMPLE.B[0, 0]) + 2
    assert known(opened, runs=2)["product"] == {"cells": [0, 0, 0, value]}
    assert opened.evaluate("window.sent") == 1
    assert parse_qs(urlparse(opened.page.url).query) == {"product": [f"cells:0,0,0,{value}"]}


def test_a_run_and_a_theme_keep_the_elements_the_focus_and_the_values(opened):
    drag(opened, cell(opened, "other", "B0,0"), 12)
    known(opened, runs=2)
    element, value = cell(opened, "other", "B0,0"), str(int(EXAMPLE.B[0, 0]) + 1)
    element.evaluate("e => { window.kept = e; }")
    opened.page.get_by_role("button", name="Again").click()
    assert known(opened, runs=3)["other"] == {"cells": [0, 0, 0, int(value)]}
    assert element.evaluate("e => e === window.kept")
    assert element.get_attribute("aria-valuenow") == value
    assert cell(opened, "product", "B0,0").get_attribute("aria-valuenow") == str(EXAMPLE.B[0, 0])
    element.focus()
    before = element.locator("rect").evaluate("e => getComputedStyle(e).fill")
    opened.page.emulate_media(color_scheme="dark")
    opened.settle()
    assert element.evaluate("e => e === window.kept && e === e.getRootNode().activeElement")
    assert element.locator("rect").evaluate("e => getComputedStyle(e).fill") != before
    assert element.get_attribute("aria-valuenow") == value


def test_a_link_restores_a_view_and_a_preset_moves_it(browser, url):
    opened = visit.visit(browser, f"{url}/?product=cells:1,0,2,-8;alpha:8&arrow=x:-1;y:nonsense")
    try:
        element = cell(opened, "product", "A0,2")
        element.wait_for(timeout=visit.TIMEOUT)
        assert element.get_attribute("aria-valuenow") == "-8"
        opened.page.get_by_text("The link's arrow is not shown: y must be a number").wait_for(timeout=visit.TIMEOUT)
        opened.page.get_by_role("button", name="Rank 3").click()
        known(opened, runs=2)
        assert parse_qs(urlparse(opened.page.url).query)["product"] == ["rank:3"]
        assert element.get_attribute("aria-valuenow") == str(EXAMPLE.A[0, 2])
        assert cell(opened, "product", "A2,0").count() == 1
        cell(opened, "product", "A2,0").press("Control+z")
        assert known(opened, runs=3)["product"] == {"alpha": 8, "cells": [1, 0, 2, -8]}
    finally:
        opened.page.context.close()

"""A real server and a real browser. Without Chromium these tests skip themselves and say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from served_app import CHROMIUM, CHROMIUM_FLAGS, running_app
from views import Views, served_views


@pytest.fixture(scope="session")
def browser() -> Iterator:
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium at /usr/bin/chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def app_url() -> Iterator[str]:
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium at /usr/bin/chromium")
    with running_app() as (url, _):
        yield url


@pytest.fixture
def cold_app_url() -> Iterator[str]:
    with running_app() as (url, _):
        yield url


@pytest.fixture(scope="session")
def views_url() -> Iterator[str]:
    with served_views() as url:
        yield url


@pytest.fixture
def views(browser, views_url) -> Iterator[Views]:
    """A page for views, 1,000 pixels wide; no error may have reached its console."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    shown = Views(context.new_page(), views_url)
    yield shown
    context.close()
    assert shown.errors == []

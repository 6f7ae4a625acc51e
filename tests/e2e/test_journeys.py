"""Journeys through the pages, as a visitor makes them."""

from __future__ import annotations

import csv
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
import visit

import peftcalc as pc
from peftcalc import units

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LLAMA = "meta-llama/Llama-3.2-1B"
REAL = "parameters?section=a+real+model"


def downloaded(page, button: str) -> Path:
    """What a button saves. A page that still moves its elements can lose a click: a visitor clicks again."""
    from playwright.sync_api import TimeoutError as NothingCame

    for _ in range(4):
        try:
            with page.expect_download(timeout=15_000) as saved:
                page.locator(button).click()
            return Path(saved.value.path())
        except NothingCame:
            continue
    raise AssertionError(f"{button} saved nothing in four clicks")


def test_from_a_link_to_an_export(browser, app_url):
    opened = visit.visit(
        browser,
        f"{app_url}/{REAL}&model={LLAMA}&method=DoRA&rank=64&targets=q_proj&targets=v_proj",
    )
    page = opened.page
    try:
        counted = pc.count(LLAMA, pc.DoRA(rank=64, targets=["q_proj", "v_proj"]))
        page.get_by_text(f"{counted.trainable:,}").first.wait_for(timeout=visit.TIMEOUT)
        assert page.get_by_text(units.percent(counted.percent)).count() > 0

        page.get_by_text("The table, every module as CSV, the link").click()
        opened.settle()
        saved = downloaded(page, ".st-key-every-module-csv button")
        rows = list(csv.DictReader(saved.read_text().splitlines()))
        assert sum(int(row["trainable"]) for row in rows) == counted.trainable
        assert {row["module"].rpartition(".")[2] for row in rows} == {"q_proj", "v_proj"}
        assert opened.errors == []
    finally:
        page.context.close()


def test_a_moved_control_is_in_the_link_and_the_link_restores_it(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/{REAL}")
    page = opened.page
    try:
        slider = page.locator(".st-key-rank input[type=range]")
        slider.focus()
        page.keyboard.press("ArrowRight")
        opened.settle()
        query = parse_qs(urlparse(page.url).query)
        assert query["rank"] == ["32"]
    finally:
        page.context.close()
    again = visit.visit(browser, f"{app_url}/{REAL}&rank=32")
    try:
        counted = pc.count("meta-llama/Llama-3.1-8B", pc.LoRA(rank=32))
        again.page.get_by_text(f"{counted.trainable:,}").first.wait_for(timeout=visit.TIMEOUT)
    finally:
        again.page.context.close()


def test_a_value_that_the_page_does_not_have_is_answered_by_a_sentence(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/{REAL}&rank=999&method=%3Cscript%3Ealert(1)%3C/script%3E")
    try:
        assert opened.page.get_by_text("The link asked for rank = 999").count() >= 1
        assert opened.page.locator("script", has_text="alert(1)").count() == 0
        assert opened.page.locator("[data-testid=stException]").count() == 0
    finally:
        opened.page.context.close()


def test_a_pasted_config_is_counted_and_a_broken_one_is_a_sentence(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/{REAL}")
    page = opened.page
    try:
        page.get_by_text("Another model …").click()
        area = page.get_by_label("Paste a config.json")
        area.fill('{"model_type": "llama"')
        area.press("Control+Enter")
        page.get_by_text("not complete JSON").first.wait_for(timeout=visit.TIMEOUT)
        area.fill('{"model_type": "gpt2"}')
        area.press("Control+Enter")
        counted = pc.count({"model_type": "gpt2"}, pc.LoRA(rank=16))
        page.get_by_text(f"{counted.trainable:,}").first.wait_for(timeout=visit.TIMEOUT)
    finally:
        page.context.close()


def test_a_model_that_came_by_a_link_goes_along_to_the_next_page(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/{REAL}&model=openai-community/gpt2")
    page = opened.page
    try:
        for name in ("Memory", "Choose"):
            page.locator("nav a", has_text=name).click()
            page.wait_for_url(f"**/{name.lower()}*")
            page.wait_for_function(
                "() => document.querySelector('.st-key-model input')?.value === 'openai-community/gpt2'",
                timeout=visit.TIMEOUT,
            )
            opened.settle()
            assert parse_qs(urlparse(page.url).query)["model"] == ["openai-community/gpt2"]
    finally:
        page.context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_back_leads_page_by_page_the_way_one_came(browser, app_url, width):
    """One entry of the browser's history a page, and the projector goes along."""
    opened = visit.visit(browser, f"{app_url}/memory?projector=true", width=width)
    page = opened.page
    asked = parse_qs(urlparse(page.url).query)
    length = page.evaluate("history.length")

    def arrives(name: str) -> None:
        page.wait_for_url(f"**/{name.lower()}*")
        page.locator("nav [aria-current]", has_text=name).wait_for(state="attached", timeout=visit.TIMEOUT)
        opened.settle()
        assert parse_qs(urlparse(page.url).query)["projector"] == asked["projector"]

    try:
        for name in ("Rank", "Choose"):
            if width < 1100:
                page.get_by_role("button", name="Pages").click()
            page.get_by_role("link", name=name, exact=True).first.click()
            arrives(name)
        assert page.evaluate("history.length") == length + 2
        for name in ("Rank", "Memory"):
            page.go_back()
            arrives(name)
        page.go_forward()
        arrives("Rank")
    finally:
        page.context.close()


def test_an_arrow_is_moved_by_keys_and_a_guess_opens_the_panel_of_chance(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/dora")
    page = opened.page
    try:
        tip = page.locator("[data-spot=lora]")
        tip.wait_for(timeout=visit.TIMEOUT)
        tip.focus()
        page.keyboard.press("PageUp")
        page.wait_for_url("**arrow=*")
        page.get_by_text("Only the length", exact=True).click()
        page.wait_for_url("**arrow=x*2.45*")
        opened.settle()
        page.get_by_role("tab", name="matrices").click()
        page.get_by_text("Weakly (r below 0.5)").wait_for(timeout=visit.TIMEOUT)
        page.get_by_text("Strongly (r above 0.5)").click()
        page.get_by_text("You said: Strongly").wait_for(timeout=visit.TIMEOUT)
        opened.settle()
        assert page.locator("[data-testid=stVegaLiteChart]").count() == 4
        assert parse_qs(urlparse(page.url).query)["section"] == ["matrices"]
        assert opened.errors == []
    finally:
        page.context.close()

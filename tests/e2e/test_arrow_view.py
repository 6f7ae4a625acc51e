"""A row's tip under a hand, without Streamlit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from peftcalc.geometry.direction import decompose
from peftcalc.ui.components.arrow import arrow_data, arrow_parts
from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.parts import checked

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DATA = arrow_data()
START = np.array([DATA["start"]])


def figures(root) -> list[float]:
    """Full figures, which the short ones on the page have as their title."""
    return [float(one.get_attribute("title")) for one in root.locator(".x-number").all()]


def asked(tip: np.ndarray) -> list[float]:
    change = decompose(START, tip)
    return [change.magnitude_change, change.direction_change, float(np.linalg.norm(tip - START))]


def test_the_tip_is_dragged_and_both_ways_lead_to_it(views):
    root = views.show(payload("arrow", DATA))
    assert figures(root) == pytest.approx(asked(np.array([DATA["tip"]])), abs=5e-5)
    views.drag(views.spot("lora"), -60, 25)
    [told] = views.told()
    tip = np.array([[told["x"], told["y"]]])
    assert checked(arrow_parts(DATA), told) == told
    assert figures(root) == pytest.approx(asked(tip), abs=6e-5)
    tips = [views.spot(name).get_attribute("transform") for name in ("lora", "dora")]
    assert tips[0] == tips[1]
    ring = root.locator("circle.line:not([stroke-dasharray])")
    middle, length = (float(ring.get_attribute(name)) for name in ("cx", "r"))
    assert length == pytest.approx(middle * np.linalg.norm(tip) / DATA["reach"], rel=1e-5)  # W′ ends on the length m
    trail = root.locator("svg path[d*='h0']").first.get_attribute("d")
    assert trail.count("M") == 6  # five moves and the pointer that went up


def test_the_dial_turns_and_leaves_the_length(views):
    root = views.show(payload("arrow", DATA))
    before = figures(root)[0]
    views.drag(views.spot("dora-dial"), -50, 10)
    assert figures(root)[0] == pytest.approx(before, abs=1e-4)
    assert figures(root)[1] > 0.3


def test_keys_turn_and_stretch_and_undo_goes_back(views):
    root = views.show(payload("arrow", DATA))
    handle = views.spot("dora")
    handle.focus()
    for key in ("Shift+ArrowLeft", "ArrowRight", "Shift+ArrowUp"):
        views.page.keyboard.press(key)
    views.page.wait_for_function("() => window.told.one.length === 1")
    assert handle.get_attribute("aria-valuenow") == "39"
    assert handle.get_attribute("aria-valuetext") == "turned 39 degrees, 1.45 times as long"
    length = float(np.linalg.norm(START))
    assert figures(root)[:2] == pytest.approx([0.45 * length, 1 - math.cos(math.radians(39))], abs=1e-4)
    root.get_by_role("status").get_by_text("turned 39°").wait_for(timeout=5000)  # what a screen reader says
    root.get_by_role("button", name="Undo").click()
    views.frame()
    assert handle.get_attribute("aria-valuenow") == "30"
    assert views.told()[-1] == {}


def test_the_climb_is_the_same_picture_and_its_summit_can_be_reached(views):
    root = views.show(payload("arrow", DATA, {"climb": 1}))
    assert root.locator("text", has_text="summit").count() == 2
    x, y = DATA["summit"]
    views.update(payload("arrow", DATA, {"climb": 1, "x": x, "y": y}))
    assert root.locator(".x-say").inner_text().startswith("At the summit: turned 104°")


def test_it_is_one_column_for_a_hand_and_a_finger_drags_it(browser, views_url):
    from views import Views

    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    views = Views(context.new_page(), views_url)
    try:
        root = views.show(payload("arrow", DATA))
        assert views.page.evaluate("document.documentElement.scrollWidth") <= 390
        before = figures(root)
        views.touch(views.spot("lora"), -40, 60)
        assert len(views.told()) == 1
        assert figures(root) != before
        assert views.errors == []
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(views, scheme):
    views.page.emulate_media(color_scheme=scheme)
    views.show(payload("arrow", DATA, {"climb": 1}))
    assert views.violations() == []

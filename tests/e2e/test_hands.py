"""Each page by the keyboard alone, and by a finger on a telephone: to a control, and to what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True)
class Move:
    """What a hand does on a page, and what comes of it.

    Args:
        page: its address.
        part: a selector of what the hand reaches.
        link: a part of the link afterwards; empty where what is moved is in no link.
        shown: words on the page afterwards.
        keys: pressed there, one after the other.
    """

    page: str
    part: str
    link: str = ""
    shown: str = ""
    keys: tuple[str, ...] = ("Enter",)

    def came(self, page) -> None:
        """Wait until it has."""
        if self.link:
            page.wait_for_function("link => location.search.includes(link)", arg=self.link, timeout=visit.TIMEOUT)
        if self.shown:
            page.get_by_text(self.shown).first.wait_for(timeout=visit.TIMEOUT)


BY_KEYS = (
    Move("", ".x-dot[aria-label^='Scene 3 of 9']", "scene=3"),
    Move("parameters", "[data-spot='B0,0']", "hand=", keys=("ArrowUp",)),
    Move("memory", ".st-key-rank input", "rank=32", keys=("ArrowRight",)),
    Move("choose", ".st-key-priority [role=radio]", "priority=quality", keys=("ArrowRight", "Space")),
    Move("train", ".st-key-train-play button", shown="measured: Only the lengths change"),
    Move("rank", ".st-key-known-guess [role=radio]", shown="You said", keys=("Space",)),
    Move("dora", "[data-spot=lora]", "arrow=", keys=("PageUp",)),
    Move("quantization", ".x-bit", "bits=", keys=("Space",)),
)
BY_TOUCH = (
    Move("", ".x-dot[aria-label^='Scene 3 of 9']", "scene=3"),
    Move("parameters", ".st-key-hand-guess button >> text='20 %'", shown="You said"),
    Move("memory", ".st-key-memory-preset-3 button", "gpu=T4"),
    Move("choose", ".st-key-priority button >> text=memory", "priority=memory"),
    Move("train", "[data-spot=rail]", "look=step"),
    Move("rank", ".st-key-known-guess button >> text='A quarter'", shown="You said"),
    Move("dora", ".st-key-arrow-preset-0 button", "arrow="),
    Move("quantization", "[data-spot=float3231]", "bits="),
)


@pytest.mark.parametrize("move", BY_KEYS, ids=lambda move: move.page or "story")
def test_a_page_by_the_keyboard_alone(browser, app_url, move):
    opened = visit.visit(browser, f"{app_url}/{move.page}")
    page = opened.page
    try:
        page.locator(move.part).first.wait_for(timeout=visit.TIMEOUT)
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(FOCUSED, move.part):
                break
        assert page.evaluate(FOCUSED, move.part), f"Tab does not reach {move.part}"
        for key in move.keys:
            page.keyboard.press(key)
        move.came(page)
        assert opened.errors == []
    finally:
        page.context.close()


@pytest.mark.parametrize("move", BY_TOUCH, ids=lambda move: move.page or "story")
def test_a_page_by_a_finger_on_a_telephone(browser, app_url, move):
    opened = visit.visit(browser, f"{app_url}/{move.page}", 390, height=844, touch=True)
    page = opened.page
    try:
        page.locator(move.part).first.tap(timeout=visit.TIMEOUT)
        move.came(page)
        assert opened.errors == []
    finally:
        page.context.close()


ONE_ABOVE_THE_OTHER = """names => {
  const [above, below] = names.map(name => document.querySelector(name).getBoundingClientRect());
  return above.bottom <= below.top;
}"""
"""At one moment: a picture that is still being drawn grows."""


def test_on_a_telephone_the_bars_of_memory_stand_before_its_controls(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/memory", 390, height=844, touch=True)
    try:
        opened.page.wait_for_function(ONE_ABOVE_THE_OTHER, arg=[".st-key-answer-memory", ".st-key-gpu"])
        bars = opened.page.locator(".st-key-answer-memory").bounding_box()
        assert bars["y"] + 0.6 * bars["height"] < 844
        assert bars["width"] >= 340
    finally:
        opened.page.context.close()


FOCUSED = """part => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return !!at?.closest(part);
}"""

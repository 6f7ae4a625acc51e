"""The bits of a number under a hand, without Streamlit: every row is what the Python core stores."""

from __future__ import annotations

import pytest

from peftcalc.quant.precision import NUMBER_FORMATS, from_bits, store
from peftcalc.ui.components.bits import bits_data, bits_parts
from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.parts import checked

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DATA = bits_data(1.5)


def row(views, name: str) -> str:
    return "".join(views.text(f"{name}{place}") for place in range(NUMBER_FORMATS[name].bits))


def stored(number: float, name: str):
    return store(number, name, 3 / NUMBER_FORMATS[name].largest if NUMBER_FORMATS[name].is_integer else None)


def test_a_click_turns_a_bit_over_and_all_rows_follow(views):
    views.show(payload("bits", DATA))
    views.spot("float1615").click()
    views.frame()
    number = 1.5 + 2**-10
    [told] = views.told()
    assert checked(bits_parts(DATA), told) == {"x": str(number)}
    for name in NUMBER_FORMATS:
        assert row(views, name) == stored(number, name).bit_string, name
    views.spot("float1615").click()
    assert views.told()[-1] == {}


def test_keys_walk_over_the_bits_and_turn_them(views):
    root = views.show(payload("bits", DATA))
    views.spot("float320").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Space"):
        views.page.keyboard.press(key)
    flipped = from_bits(stored(1.5, "float16").pattern ^ 1 << 13, "float16").value
    assert [float(told["x"]) for told in views.told()] == [flipped]
    assert views.spot("float162").get_attribute("aria-checked") == "false"
    root.get_by_role("button", name="Undo").click()
    views.frame()
    assert row(views, "float16") == stored(1.5, "float16").bit_string


def test_any_number_can_be_typed(views):
    root = views.show(payload("bits", DATA))
    for typed in ("70,000", "1e-7", "-0", "inf", "nan", "1e-45"):
        root.get_by_role("textbox").fill(typed)
        views.page.keyboard.press("Enter")
        views.frame()
        assert row(views, "float16") == store(float(typed.replace(",", "")), "float16").bit_string
        assert checked(bits_parts(DATA), views.told()[-1])
        assert ("no such code" in root.inner_text()) == (typed in ("inf", "nan"))


def test_other_text_is_answered_by_a_sentence(views):
    root = views.show(payload("bits", DATA))
    root.get_by_role("textbox").fill("<b>two</b>")
    views.page.keyboard.press("Enter")
    assert "a number such as 0.1" in root.get_by_role("alert").inner_text()
    assert views.told() == []


def test_it_fits_a_hand(browser, views_url):
    from views import Views

    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    views = Views(context.new_page(), views_url)
    try:
        views.show(payload("bits", DATA))
        assert views.page.evaluate("document.documentElement.scrollWidth") <= 390
        views.spot("float3231").tap()
        assert [float(told["x"]) for told in views.told()] == [1.5 + 2**-23]
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(views, scheme):
    views.page.emulate_media(color_scheme=scheme)
    views.show(payload("bits", DATA))
    assert views.violations() == []

"""Sixty-four weights under a hand, without Streamlit: levels, errors and steps are those of the Python core."""

from __future__ import annotations

import pytest
import torch

from peftcalc.quant.errors import quantization_error
from peftcalc.quant.quantizing import quantize
from peftcalc.quant.steps import steps
from peftcalc.ui.components.codes import codes_data, codes_parts, weights_of
from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.parts import checked

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DATA = codes_data(format="int4", rail=True, stage=3)


def figures(root) -> list[float]:
    return [float(text) for text in root.locator(".x-number b").all_text_contents()]


def asked(weights: list[float], form: str, size: int) -> list[float]:
    x = torch.tensor(weights)
    error = quantization_error(x, form, block_size=size)
    return [error.rmse, error.max_abs, quantize(x, form, block_size=size).bits_per_value]


def test_a_dragged_weight_sends_one_message_and_shows_pythons_errors(views):
    root = views.show(payload("codes", DATA))
    for form, size in (("int8", 32), ("nf4", 16), ("fp4", 64), ("mxfp4", 32), ("int4", 64)):
        root.get_by_role("radio", name=form.upper() if form[0] != "i" else form, exact=True).click()
        root.get_by_role("radio", name="64 share a scale" if size == 64 else str(size), exact=True).click()
        views.frame()
        assert figures(root) == pytest.approx(asked(DATA["weights"], form, size), abs=6e-4)
    before = len(views.told())
    views.drag(views.spot("w20"), 0, -95)
    told = views.told()
    assert len(told) == before + 1
    state = told[-1]
    assert checked(codes_parts(DATA), state) == state
    assert state["moved"][0] == 20
    assert state["moved"][1] > 1
    assert figures(root)[:2] == pytest.approx(asked(weights_of(DATA, state), "int4", 64)[:2], abs=6e-4)


def test_one_outlier_takes_the_levels_of_all_that_share_its_scale(views):
    root = views.show(payload("codes", DATA))
    root.get_by_role("button", name="Pull one out").click()
    root.get_by_role("button", name="Put it back").wait_for(timeout=5000)
    views.page.wait_for_function("() => window.told.one.length === 1")
    weights = weights_of(DATA, {"moved": [20, DATA["limit"]]})
    zeros = int((quantize(torch.tensor(weights), "int4", block_size=64).dequantize() == 0).sum())
    assert f"{zeros} of the other 63 become zero" in root.locator(".x-say").inner_text()
    root.get_by_role("radio", name="16", exact=True).click()
    root.locator(".x-say", has_text="The other 48 keep scales of their own").wait_for(timeout=5000)


def test_the_rail_has_all_steps_and_its_lit_one_moves(views):
    root = views.show(payload("codes", DATA, {"size": 16}))
    rows = [row.locator("td").all_inner_texts() for row in root.locator(".x-rail tr").all()]
    taken = steps(DATA["weights"][16:32], "int4")
    assert rows[3] == [str(code).replace("-", "−") for code in taken.codes[:8]]
    assert rows[4] == [f"{byte >> 4:04b} {byte & 15:04b}" for byte in taken.packed[:4]]
    lit = root.locator("[aria-current=step]")
    assert lit.inner_text() == "4 Nearest code"
    root.get_by_role("button", name="One step on").click()
    views.frame()
    assert lit.inner_text() == "5 Packed bytes"
    assert views.told()[-1] == {"size": 16, "stage": 4}


def test_keys_move_a_weight_and_undo_goes_back(views):
    root = views.show(payload("codes", DATA))
    views.spot("w20").focus()
    for key in ("ArrowRight", "PageUp", "ArrowDown"):
        views.page.keyboard.press(key)
    views.page.wait_for_function("() => window.told.one.length === 1")
    [place, value] = views.told()[0]["moved"]
    assert (place, value) == (21, pytest.approx(DATA["weights"][21] + 0.95 * DATA["crowd"], abs=1e-3))
    root.get_by_role("button", name="Undo").click()
    assert views.told()[-1] == {}


def test_a_finger_takes_the_nearest_weight_and_elsewhere_scrolls(browser, views_url):
    from views import Views

    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    views = Views(context.new_page(), views_url)
    try:
        views.show(payload("codes", DATA))
        assert views.page.evaluate("document.documentElement.scrollWidth") <= 390
        views.touch(views.spot("w20"), 0, -60)
        assert [len(told["moved"]) for told in views.told()] == [2]
        assert views.errors == []
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(views, scheme):
    views.page.emulate_media(color_scheme=scheme)
    views.show(payload("codes", DATA, {"moved": [20, 8]}))
    assert views.violations() == []

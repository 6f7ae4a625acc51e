"""One block under a hand, without Streamlit: clicks and keys choose targets, pointing tells shapes and counts."""

from __future__ import annotations

import pytest

import peftcalc as pc
from peftcalc.ui.components.block import block_data, block_parts
from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.parts import checked

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHAPES = pc.load_model("meta-llama/Llama-3.1-8B")
COUNTED = pc.count(SHAPES, pc.QLoRA(rank=16))
DATA = block_data(SHAPES, COUNTED, NAMES)
EACH = {part.suffix: part.each for part in COUNTED.parts}


def trained(root) -> int:
    return int(root.locator(".x-number b").inner_text().replace(",", ""))


def test_matrices_stand_in_true_proportion_and_a_click_is_one_message(views):
    root = views.show(payload("block", DATA))
    sizes = {name: root.locator(f"[data-spot$='.{name}'] rect.frozen").bounding_box() for name in NAMES}
    assert sizes["gate_proj"]["height"] / sizes["q_proj"]["height"] == pytest.approx(14336 / 4096, rel=0.05)
    assert sizes["down_proj"]["width"] / sizes["q_proj"]["width"] == pytest.approx(14336 / 4096, rel=0.05)
    assert trained(root) == sum(EACH.values())
    views.spot("self_attn.k_proj").hover()
    views.frame()
    said = root.locator(".x-say").inner_text()
    assert said.startswith("k_proj, 4,096 inputs → 1,024 outputs: 4,194,304 frozen numbers in 4 bits")
    assert "16 · (4,096 + 1,024) = 81,920" in said
    views.spot("self_attn.k_proj").click()
    views.frame()
    assert views.told() == [{"chosen": [0, 2, 3, 4, 5, 6]}]
    assert checked(block_parts(), views.told()[0]) == views.told()[0]
    assert trained(root) == sum(EACH.values()) - EACH["k_proj"]
    assert views.spot("self_attn.k_proj").get_attribute("aria-checked") == "false"
    views.spot("self_attn.k_proj").click()
    assert views.told()[-1] == {}  # every one again


def test_keys_walk_and_choose_undo_goes_back_and_the_last_target_stays(views):
    root = views.show(payload("block", DATA, {"chosen": [0, 1]}))
    views.spot("self_attn.q_proj").focus()
    views.page.keyboard.press("Space")
    views.page.keyboard.press("ArrowRight")
    views.page.keyboard.press("Enter")
    views.frame()
    assert views.told() == [{"chosen": [1]}]
    assert "must be at least one target" in root.locator(".x-say").inner_text()
    views.page.keyboard.press("Control+z")
    views.frame()
    assert views.told()[-1] == {"chosen": [0, 1]}
    assert trained(root) == EACH["q_proj"] + EACH["k_proj"]


def test_it_fits_a_telephone_and_a_finger_chooses(browser, views_url):
    from views import Views

    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    views = Views(context.new_page(), views_url)
    try:
        views.show(payload("block", DATA))
        assert views.page.evaluate("document.documentElement.scrollWidth") <= 390
        views.spot("mlp.up_proj").tap()
        assert views.told() == [{"chosen": [0, 1, 2, 3, 4, 6]}]
        assert views.errors == []
    finally:
        context.close()

"""The product under a hand, without Streamlit: what follows a drag, a key and a finger, and what is told afterwards."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from peftcalc.counting.worked_example import worked_example
from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.parts import checked
from peftcalc.ui.components.product import product_data, product_parts

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EXAMPLE = worked_example(rank=3, seed=1)
DATA = product_data(EXAMPLE.W, EXAMPLE.B, EXAMPLE.A, rank=2, alpha=4)
SCALE = 4 / 2


def asked(B=EXAMPLE.B, A=EXAMPLE.A, rank=2, scale=SCALE):
    return scale * (B[:, :rank] @ A[:rank])


def shown(views, name: str, place: str = "one") -> np.ndarray:
    texts = [[views.text(f"{name}{i},{j}", place).replace("−", "-") for j in range(5)] for i in range(5)]
    return np.array(texts, float)


def test_every_sign_stands_in_its_place_and_every_number_is_pythons(views):
    root = views.show(payload("product", DATA))
    signs = root.locator("text.sign").all_text_contents()
    assert signs == ["2 ·", "·", "=", "+", "="]
    np.testing.assert_array_equal(shown(views, "D"), asked())
    np.testing.assert_array_equal(shown(views, "D2"), asked())
    np.testing.assert_array_equal(shown(views, "S"), EXAMPLE.W + asked())
    shades = [views.spot(f"{name}2,1").locator("rect").evaluate("e => e.style.fill") for name in ("D", "D2")]
    assert shades[0] == shades[1]
    assert root.locator(".x-number").inner_text().split() == ["20", "trained", "of", "25", "(80", "%)"]


def test_a_drag_moves_its_row_in_the_same_frame_and_is_told_once_when_it_ends(views):
    views.show(payload("product", DATA))
    cell = views.spot("B1,0")
    box = cell.bounding_box()
    views.page.mouse.move(box["x"] + 10, box["y"] + 10)
    views.page.mouse.down()
    for up in range(1, 25):
        views.page.mouse.move(box["x"] + 10, box["y"] + 10 - up)
    views.frame()
    B = EXAMPLE.B.copy()
    B[1, 0] += 2  # twelve pixels for one
    np.testing.assert_array_equal(shown(views, "D"), asked(B))
    assert views.told() == []
    views.page.mouse.up()
    views.frame()
    assert views.told() == [{"cells": [0, 1, 0, B[1, 0]]}]
    assert checked(product_parts(DATA), views.told()[0]) == views.told()[0]


def test_pointing_at_the_update_lights_row_and_column_and_writes_the_dot_product(views):
    root = views.show(payload("product", DATA))
    views.spot("D1,2").hover()
    views.frame()
    lit = {cell.get_attribute("data-spot") for cell in root.locator(".x-cell.lit").all()}
    assert lit == {"B1,0", "B1,1", "A0,2", "A1,2", "D1,2", "D21,2", "W1,2", "S1,2"}
    terms = " + ".join(f"({EXAMPLE.B[1, k]:g})({EXAMPLE.A[k, 2]:g})" for k in range(2)).replace("-", "−")
    answer = f"{asked()[1, 2]:g}".replace("-", "−")
    assert root.locator(".x-say").inner_text() == f"row 2 · column 3: 2 · [{terms}] = {answer}"


def test_keys_step_and_type_and_undo_goes_back(views):
    root = views.show(payload("product", DATA))
    first = EXAMPLE.A[0, 1]
    views.spot("A0,1").focus()
    views.page.keyboard.press("ArrowUp")
    views.frame()
    assert views.spot("A0,1").get_attribute("aria-valuenow") == f"{first + 1:g}"
    views.page.keyboard.type("-7")
    views.page.keyboard.press("Enter")
    views.page.wait_for_function("() => window.told.one.length === 1")  # once the keys have rested
    assert views.told() == [{"cells": [1, 0, 1, -7]}]
    views.page.keyboard.press("Control+z")
    views.frame()
    assert views.text("A0,1") == f"{first:g}".replace("-", "−")
    assert views.told()[-1] == {}
    assert views.spot("A0,1").evaluate("e => e === e.getRootNode().activeElement")
    root.get_by_role("slider", name="Rank").press("ArrowRight")
    views.frame()
    assert views.told()[-1] == {"rank": 3}
    np.testing.assert_allclose(shown(views, "D"), asked(rank=3, scale=4 / 3), atol=0.06)  # shown with one digit
    root.get_by_role("button", name="Reset").click()
    assert views.told()[-1] == {}


def test_a_finger_does_what_the_mouse_does(browser, views_url):
    from views import Views

    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    views = Views(context.new_page(), views_url)
    try:
        views.show(payload("product", DATA))
        assert views.page.evaluate("document.documentElement.scrollWidth") <= 390
        views.touch(views.spot("B0,0"), 0, -36)
        assert views.told() == [{"cells": [0, 0, 0, int(EXAMPLE.B[0, 0]) + 3]}]
        sides = [views.spot(spot).locator("rect").bounding_box()["width"] for spot in ("B0,0", "A0,0")]
        assert min(sides) >= 24  # WCAG 2.2, 2.5.8
        assert views.errors == []
    finally:
        context.close()


def test_the_same_data_again_changes_nothing_and_another_state_moves_it(views):
    views.show(payload("product", DATA))
    views.drag(views.spot("B0,0"), 0, -24)
    mine, moved = shown(views, "D"), views.told()[-1]
    views.spot("D0,0").focus()
    views.page.evaluate(
        "() => { window.before = document.querySelector('#one').shadowRoot.querySelector('[data-spot=\"D0,0\"]'); }"
    )
    for state in ({}, moved, moved):  # a run that knew nothing of it yet, its answer, and another
        views.update(payload("product", DATA, state))
        np.testing.assert_array_equal(shown(views, "D"), mine)
        assert views.spot("D0,0").evaluate("e => e === window.before && e === e.getRootNode().activeElement")
    views.update(payload("product", DATA, {"rank": 1}))  # a preset
    np.testing.assert_array_equal(shown(views, "D"), asked(rank=1, scale=4))
    views.update(payload("product", product_data(EXAMPLE.W, EXAMPLE.B, EXAMPLE.A, rank=1)))  # other data
    np.testing.assert_array_equal(shown(views, "D"), asked(rank=1, scale=1))


def test_two_stand_beside_each_other_and_do_not_meet(views):
    views.show(payload("product", DATA))
    views.show(payload("product", DATA), place="two")
    views.drag(views.spot("B0,0", "two"), 0, -24)
    np.testing.assert_array_equal(shown(views, "D"), asked())
    assert (len(views.told("one")), len(views.told("two"))) == (0, 1)


def test_inputs_blink_out_and_take_their_columns_with_them(views):
    root = views.show(payload("product", DATA, {"dropout": 0.5}))
    masks = set()
    for _ in range(4):
        root.get_by_role("button", name="Next step").click()
        views.frame()
        out = {cell.get_attribute("data-spot") for cell in root.locator(".x-cell.out").all()}
        columns = {spot[-1] for spot in out}
        assert out == {f"{name}{i},{j}" for j in columns for name, rows in (("A", 2), ("D", 5)) for i in range(rows)}
        masks.add(frozenset(columns))
    assert len(masks) > 1


def test_sixty_four_by_sixty_four_are_maps_with_hands_and_keys(views):
    random = np.random.default_rng(0)
    W, B, A = random.normal(size=(64, 64)), random.normal(size=(64, 8)), random.normal(size=(8, 64))
    data = product_data(W, B, A, rank=8)
    root = views.show(payload("product", data))
    views.spot("D").hover()
    views.frame()
    assert root.locator(".x-say").inner_text().startswith("row 3")  # the middle
    views.drag(views.spot("A"), 0, -20)
    [told] = views.told()
    assert checked(product_parts(data), told)["cells"][:3] == [1, 4, 32]
    views.spot("D").focus()
    views.page.keyboard.press("ArrowRight")
    views.frame()
    label = views.spot("D").get_attribute("aria-label").replace("−", "-")
    row, column = (int(word.strip(",:")) - 1 for word in label.split()[2:5:2])
    A[4, 32] = told["cells"][3]
    assert float(label.split()[-1]) == pytest.approx((np.round(B, 6) @ np.round(A, 6))[row, column], abs=6e-4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"W": "<img src=x onerror=alert(1)>"}, "W must be 1 to 64 rows of numbers"),
        ({"W": [["1"] * 5] * 5}, "W[0][0] must be a number"),
        ({"rank": 2.5}, "rank must be a whole number"),
        ({"method": "<b>"}, "method must be one of"),
        ({"colors": {"lora": "red;background:url(x)"}}, "lora must be a colour"),
        ({"view": "constructor"}, "there is no view constructor"),
    ],
)
def test_what_is_not_of_its_type_is_answered_by_a_sentence(views, wrong, said):
    views.page.evaluate(
        "async data => (await import('./static.js')).show(document.querySelector('div'), data)",
        {**payload("product", DATA), **wrong},
    )
    fault = views.page.get_by_role("alert")
    fault.get_by_text(said).wait_for(timeout=5000)
    assert views.page.locator("img, b").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(views, scheme):
    views.page.emulate_media(color_scheme=scheme)
    views.show(payload("product", DATA, {"dropout": 0.2}))
    views.page.evaluate(
        "() => { document.body.prepend(Object.assign(document.createElement('h1'), { textContent: 'A view' })); }"
    )
    assert views.violations() == []


def test_it_leaves_the_page_as_svg_and_png(views):
    root = views.show(payload("product", product_data(np.eye(12), np.ones((12, 2)), np.ones((2, 12)))))
    for ending in ("SVG", "PNG"):
        with views.page.expect_download() as saved:
            root.get_by_role("button", name=f"Take this picture as {ending}").click()
        content = Path(saved.value.path()).read_bytes()
        if ending == "PNG":
            assert content.startswith(b"\x89PNG")
            assert len(content) > 10_000
            continue
        drawing = ElementTree.fromstring(content)
        texts = {element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")}
        assert {"=", "+", "ΔW", "W′"} <= texts
        assert len(list(drawing.iter("{http://www.w3.org/2000/svg}image"))) == 6
        assert b"var(" not in content
        assert b"class=" not in content

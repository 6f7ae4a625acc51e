"""The story under a hand, without Streamlit and with it: nine scenes by mouse, keys and touch, and Python's numbers."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import visit

from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.parts import checked
from peftcalc.ui.components.story import story_data, story_parts
from peftcalc.ui.story.answers import at_volume, on_samples
from peftcalc.ui.story.pictures import FEW, RUN, RUN_RANK, strips, target
from peftcalc.ui.story.scenes import SCENES

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SUMS = 1e-9
"""Of losses after 150 steps: sums of float64 in another order, relative."""


def scene(views, number: int, **state):
    """The story at a scene, once its picture is drawn."""
    views.show(payload("story", story_data(), {"scene": number, **state}))
    root = views.page.locator("#one .x-story")
    picture = root.locator(".x-picture .x[data-ready]")
    picture.wait_for(timeout=20_000)
    views.frame()
    return root, picture


def say(views, picture) -> str:
    views.frame()
    return picture.locator(".x-say").inner_text()


def test_the_tiny_runs_are_pythons(browser, views_url):
    page = browser.new_page()
    page.goto(views_url)
    ask = """async ([T, run, rank, scale, dropout, many]) => {
      const { tinyTask, tinyRun } = await import('./core.js');
      const [size, noise] = many ? [run.enough, run.calm] : [run.samples, run.noise];
      const task = tinyTask(T, 16, 16, size, noise, run.seed + 10);
      const held = size ? tinyTask(T, 16, 16, 40, noise, run.seed + 100) : task;
      const { training, heldOut, A } = tinyRun(task, held, 16, 16, { ...run, rank, scale, dropout });
      return JSON.stringify([training, heldOut, [...A.at(-1)]]);
    }"""
    flat = target().ravel().tolist()
    for run, scale, dropout, many, theirs in (
        (RUN, 2, 0, False, at_volume(2)),
        (RUN, 0.25, 0, False, at_volume(0.25)),
        (FEW, 1, 0.1, False, on_samples(0.1)),
        (FEW, 1, 0.3, True, on_samples(0.3, True)),
    ):
        training, held_out, A = json.loads(page.evaluate(ask, [flat, run, RUN_RANK, scale, dropout, many]))
        np.testing.assert_allclose(training, theirs.training, rtol=SUMS)
        np.testing.assert_allclose(held_out, theirs.held_out, rtol=SUMS)
        np.testing.assert_allclose(A, theirs.A.ravel(), atol=1e-9)
    page.close()


def test_every_scene_is_drawn_fits_a_screen_and_is_accessible(views):
    views.page.set_viewport_size({"width": 1280, "height": 720})
    root, picture = scene(views, 1)
    views.page.evaluate(
        "() => { document.body.prepend(Object.assign(document.createElement('h1'), { textContent: 'A story' })); }"
    )
    for number, told in enumerate(SCENES, 1):
        root.get_by_role("heading", name=told.title).wait_for()
        picture.wait_for()
        assert say(views, picture)
        assert picture.locator(".x-fault").inner_text() == ""
        assert root.bounding_box()["height"] <= 580, told.title  # below the navigation and the question
        assert views.violations() == [], told.title
        if number < len(SCENES):
            root.get_by_role("button", name="Next scene").click()


def test_the_strips_are_pythons_and_the_answer_opens_the_bound(views):
    root, picture = scene(views, 3)
    values = np.linalg.svd(target(), compute_uv=False) ** 2
    left = [100 * values[rank:].sum() / values.sum() for rank in range(17)]
    assert say(views, picture) == f"Rank 1: {left[1]:.1f} % of the target is left over."
    bound = root.get_by_text("Eckart–Young")
    assert not bound.is_visible()
    root.get_by_role("button", name="16", exact=True).click()
    assert bound.is_visible()
    assert "✗ You said: 16." in root.locator(".x-ask").inner_text()
    assert say(views, picture) == "Rank 7: 0 % of the target is left over. No update of rank 7 leaves less."
    B, A = strips()
    moved = B.round(6).copy()
    views.drag(views.spot("B"), 0, -20)
    told = checked(story_parts(), views.told()[-1])
    where, i, j, value = told["cells"]
    assert (told["scene"], told["rank"], where) == (3, 7, 0)
    moved[int(i), int(j)] = value
    worse = 100 * ((target() - moved[:, :7] @ A[:7].round(6)) ** 2).sum() / 256
    root.locator("h2").click()  # away from the strip
    assert say(views, picture).startswith(
        f"Rank 7: {round(worse, 1):g} % of the target is left over. The best of rank 7"
    )


def test_too_loud_a_volume_leaves_the_chart(views):
    root, picture = scene(views, 4)
    assert "has a loss of 0.073" in say(views, picture)
    slider = root.get_by_role("slider", name="Alpha")
    for _ in range(2):
        slider.press("ArrowRight")
    assert "Too loud" in say(views, picture)
    root.get_by_role("button", name="Twice").click()
    loss = at_volume(0.25).training[-1]
    assert say(views, picture).endswith(f"has a loss of {round(loss, 3):g}.")


def test_dropout_shows_the_losses_of_the_run(views):
    _, picture = scene(views, 5, dropout=0.1)
    run = on_samples(0.1)
    assert f"trains on {round(run.training[-1], 2):g}, held out {round(run.held_out[-1], 2):g}" in say(views, picture)


def test_keys_and_hands_lead_through_it_and_what_was_moved_stays(views):
    root, picture = scene(views, 1)
    held = picture.locator("text.right")
    assert held.all_text_contents() == ["256", *["0 of 256"] * 3]
    root.get_by_role("button", name="Press and hold").press(" ")
    views.page.wait_for_function("() => window.told.one.length === 1")
    assert held.all_text_contents() == ["256"] * 4
    assert views.told() == [{"steps": 1}]
    views.page.keyboard.press("PageDown")
    views.spot("B").wait_for()
    assert views.told()[-1] == {"scene": 2}
    views.spot("B").focus()
    views.page.keyboard.press("PageDown")  # a clicker in somebody's hand, while a strip has the focus
    root.get_by_role("slider", name="Rank").wait_for()
    views.page.keyboard.press("Home")
    root.get_by_role("slider", name="Rank").press("ArrowRight")
    assert views.told()[-1] == {"scene": 3, "rank": 2, "alpha": 2}
    root.get_by_role("button", name="Scene 1 of 9").click()
    assert views.told()[-1] == {"steps": 1}
    root.get_by_role("button", name="Next scene").click()
    root.get_by_role("button", name="Next scene").click()
    assert root.get_by_role("slider", name="Rank").get_attribute("aria-valuetext") == "2"


def test_an_adapter_is_plugged_in_and_the_last_question_has_its_answer(views):
    data = story_data()["scenes"][8]["faces"]
    root, picture = scene(views, 9)
    root.get_by_role("radio", name="Poland").click()
    after = data[0]["data"]["adapters"][1]["after"][0].strip()
    picture.get_by_text(after, exact=True).first.wait_for(timeout=5000)
    assert say(views, picture).startswith("Poland is plugged in; no byte")
    root.get_by_role("radio", name="Which would you choose?").click()
    root.get_by_role("combobox", name="Card").select_option("1")
    root.get_by_role("radio", name="memory").click()
    views.frame()
    picks = data[1]["data"]
    answer = picks["answers"][(picks["model"] * len(picks["cards"]) + 1) * len(picks["wishes"]) + 3]
    shown = root.locator(".x-picture .x-say").inner_text()
    assert picks["calls"][answer[1]] in shown
    assert f"About {answer[2]:.1f} GiB" in shown
    assert checked(story_parts(), views.told()[-1]) == {"scene": 9, "face": 1, "card": 1, "wish": 3}


def test_a_journey_through_the_page(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/?scene=4", height=720)
    page = opened.page
    try:
        page.get_by_role("heading", name="Alpha").wait_for(timeout=visit.TIMEOUT)
        page.keyboard.press("PageDown")
        page.get_by_role("heading", name="Dropout").wait_for(timeout=visit.TIMEOUT)
        page.wait_for_url("**/?scene=5", timeout=visit.TIMEOUT)
        page.get_by_role("button", name="Scene 8 of 9").click()
        page.get_by_role("combobox", name="Card").select_option(label="H200, 140 GiB")
        page.wait_for_function("() => location.search.includes('card')", timeout=visit.TIMEOUT)
        assert parse_qs(urlparse(page.url).query)["scene"][0].startswith("8;card:5")
        assert (
            page.evaluate("(m => m.scrollHeight - m.clientHeight)(document.querySelector('[data-testid=stMain]'))") == 0
        )
        page.get_by_role("link", name="Will it fit on this card?").click()
        page.wait_for_url("**/memory?**", timeout=visit.TIMEOUT)
        assert parse_qs(urlparse(page.url).query)["gpu"] == ["H200"]
        opened.settle()
        assert page.locator(".st-key-model input").input_value() == "meta-llama/Llama-3.1-8B"  # the page's own default
        assert opened.errors == []
    finally:
        page.context.close()


def test_a_finger_turns_the_scenes_on_a_telephone(browser, views_url):
    from views import Views

    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    views = Views(context.new_page(), views_url)
    try:
        for number in range(1, 10):
            root, _ = scene(views, number)
            assert views.page.evaluate("document.documentElement.scrollWidth") <= 390, number
        root.get_by_role("button", name="Scene 2 of 9").tap()
        assert root.locator(".x-scene").evaluate("e => getComputedStyle(e).opacity") == "1", "words do not fade"
        views.spot("A").wait_for()
        views.touch(views.spot("A"), 0, -30)
        assert views.told()[-1]["cells"][0] == 1
        dots = [dot.bounding_box() for dot in root.locator(".x-dot").all()]
        assert min(min(dot["width"], dot["height"]) for dot in dots) >= 24  # WCAG 2.2, 2.5.8
        assert views.errors == []
    finally:
        context.close()

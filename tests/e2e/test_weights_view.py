"""A run as it learns, in a browser: the same numbers as Python's, tails that grow, the rail, keys."""

from __future__ import annotations

import json

import numpy as np
import pytest

from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.runs.weight_looks import weight_look
from peftcalc.lab.stored_runs import stored_run
from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.weights import Told, whole_race

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TIMEOUT = 20_000


def whole(name: str, live: bool = False) -> dict:
    return payload("weights", whole_race(stored_run(name).board, f"stored {name}", "stored run", live))


def test_a_stored_run_is_shown_and_led_back(views):
    root = views.show(whole("magnitude"))
    assert "step 300 of 300" in root.locator(".w-at").inner_text()
    unturned = root.get_by_text("no row turned")
    assert unturned.count() == 0, "what goes deeper is drawn when it is asked for"
    deeper = root.get_by_role("button", name="Spectrum and rows")
    assert not deeper.is_visible(), "the first look is calm"
    root.get_by_role("button", name="More").click()
    deeper.click()
    views.frame()
    assert unturned.count() == 1
    now = root.locator("canvas[aria-label^='ΔW']").evaluate("c => c.toDataURL()")
    root.get_by_role("slider", name="Step of the run").focus()
    views.page.keyboard.press("Home")
    views.frame()
    assert "step 0 of 300" in root.locator(".w-at").inner_text()
    assert root.locator("canvas[aria-label^='ΔW']").evaluate("c => c.toDataURL()") != now
    views.page.keyboard.press("End")
    root.get_by_role("button", name="QLoRA").click()
    views.frame()
    assert unturned.count() == 0
    assert "QLoRA, step 300: loss 0.786" in root.locator(".x-say").inner_text()
    assert {"method": "qlora"}.items() <= views.told()[-1].items()


def test_what_is_left_to_learn_is_drawn_when_it_is_told_after_another_run(views):
    stored = whole("magnitude", live=True)
    root = views.show(stored)
    views.update({**stored, "run": "7", "bases": {}})
    assert root.locator("canvas.w-left").count() == 0
    views.update({**stored, "run": "7"})
    assert root.locator("canvas.w-left").count() == 2


def test_curves_stay_drawn_when_the_first_weights_come(views):
    """The panel makes room for them in the same frame, after which nothing more may come."""
    views.page.emulate_media(reduced_motion="reduce")
    stored = whole("digits", live=True)
    root = views.show({**stored, "methods": [{**one, "looks": []} for one in stored["methods"]]})
    views.update(stored)
    placed = root.locator(".w-name").evaluate_all("names => names.map(name => name.getAttribute('transform'))")
    assert len(placed) == 5
    assert None not in placed


def one_curve(method: str, losses: list[float], held: float) -> dict:
    """The beginning of a race on a task whose loss is drawn on a linear axis."""
    stored = whole("names", live=True)
    first = next(one for one in stored["methods"] if one["name"] == method)
    return {**stored, "methods": [{**first, "loss": losses, "held": [[0, held]], "looks": []}]}


@pytest.mark.parametrize("held", [0.5, 2.75, 6.4])
def test_a_single_point_stands_inside_its_chart(views, held):
    root = views.show(one_curve("lora", [], held))
    chart, point = (root.locator(one).first.bounding_box() for one in ("svg rect[style*='ew-resize']", "svg circle"))
    middle = point["y"] + point["height"] / 2
    assert chart["y"] - 1 <= middle <= chart["y"] + chart["height"] + 1


def test_no_two_marks_of_the_loss_say_the_same(views):
    root = views.show(one_curve("lora", [2.753], 2.746))
    said = root.locator("svg text.small.right").all_text_contents()
    assert len(said) == len(set(said)) > 1


def test_the_names_of_a_run_that_begins_cover_neither_words_nor_steps(views):
    stored = whole("magnitude", live=True)
    methods = [{**one, "loss": one["loss"][:3], "held": one["held"][:1], "looks": []} for one in stored["methods"]]
    root = views.show({**stored, "methods": methods})
    views.page.wait_for_timeout(300)
    names = [name.bounding_box() for name in root.locator(".w-name").all()]
    words = [root.get_by_text("↓ learned"), *(root.get_by_text(str(step), exact=True) for step in (75, 150))]
    for word in (found.first.bounding_box() for found in words):
        for name in names:
            across = min(name["x"] + name["width"], word["x"] + word["width"]) - max(name["x"], word["x"])
            down = min(name["y"] + name["height"], word["y"] + word["height"]) - max(name["y"], word["y"])
            assert across <= 2 or down <= 2


@pytest.mark.parametrize("name", ["digits", "names", "text"])
def test_samples_stand_before_and_now(views, name):
    root = views.show(whole(name))
    assert root.locator(".w-samples").inner_text().count("\n") > 4


def test_tails_of_a_run_give_what_the_whole_gives(views):
    stored = stored_run("magnitude")
    messages = sorted(
        [{"run": track.name, "step": step, "look": look} for track in tracks(stored) for step, look in track.weights],
        key=lambda message: message["step"],
    )
    board, told = RaceResults(Race("magnitude", rank=4)), Told()
    for track in tracks(stored):
        grown = board.tracks[track.name]
        grown.last, grown.looks = track.last, track.looks[:1]
    root = None
    for at in range(17):
        for track in tracks(stored):
            grown = board.tracks[track.name]
            grown.losses, grown.steps = track.losses[: 19 * at], track.steps[: 19 * at]
        board.read([*messages[: 5 * (at + 1)]])
        data = payload("weights", told.tail(board, "7", f"Training: step {19 * at}", "dora"))
        assert len(json.dumps(data)) <= 12_000
        root = views.show(data) if root is None else (views.update(data) or root)
    assert root is not None
    root.locator(".w-at", has_text="step 300 of 300").wait_for(timeout=TIMEOUT)
    assert "DoRA, step 300: loss 2e" in root.locator(".x-say").inner_text()
    assert root.locator("canvas[aria-label^='W′']").count() == 1


def tracks(stored):
    return list(stored.board.tracks.values())


def test_the_browser_multiplies_to_what_the_worker_has(views):
    from peftcalc.lab.training import finetune
    from peftcalc.methods import DoRA

    run = finetune("direction", DoRA(rank=2), steps=5, width=8)
    list(run)
    look = weight_look(run.student, "linear", with_base=True)
    _, before, now = run.student.watch("linear")
    got = views.page.evaluate(
        """async look => {
          const { unpacked } = await import('./weights.js'), { product } = await import('./core.js');
          const r = 2, n = 8, W = unpacked('W', look.W, 64), g = unpacked('g', look.g, n, 16);
          const D = product(unpacked('B', look.B, n * r), unpacked('A', look.A, r * n), n, r, n, look.s);
          return [...D.map((d, at) => g[Math.floor(at / n)] * (W[at] + d))];
        }""",
        look,
    )
    # Eight bits of W, B and A: half a step each of 1/127 of the largest.
    assert np.allclose(got, now.ravel(), atol=3 * np.abs(before).max() / 254)


def test_a_call_that_newer_data_has_overtaken_does_not_end_the_view(views):
    kept, ended = views.page.evaluate(
        """async data => {
          const { default: explorable } = await import("./explorable.js");
          const soon = () => new Promise(done => setTimeout(done, 20));
          const parentElement = document.body.appendChild(document.createElement("div"));
          const call = status => explorable({ parentElement, data: { ...data, status }, setStateValue() {} });
          const overtaken = call("one"), last = call("two"), root = parentElement.querySelector(".x");
          overtaken();  // as Streamlit does when it hears of the newer data before the older call has come back
          await soon();
          const kept = root !== null && root === parentElement.querySelector(".x");
          parentElement.remove();
          last();
          await soon();
          return [kept, parentElement.querySelector(".x") === null];
        }""",
        whole("magnitude"),
    )
    assert (kept, ended) == (True, True)

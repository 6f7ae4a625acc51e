"""The Train page: a stored run at once, a race of one's own, and visitors who mean no good."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits
from peftcalc.lab.stored_runs import stored_run
from peftcalc.ui import live
from peftcalc.ui.lessons.train import LESSON

ROOT = Path(__file__).parents[2]
WORKER = (sys.executable, str(Path(__file__).with_name("quick_worker.py")))


@pytest.fixture
def queue(monkeypatch):
    queue = JobQueue(WORKER, 1, Limits())
    monkeypatch.setattr(live, "queue", lambda: queue)
    until(lambda: queue.ready)
    yield queue
    queue.close()


def open_page(**query) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/train.py"), default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come about")
        time.sleep(0.02)


def button(test: AppTest, label: str):
    return next(found for found in test.button if found.label == label)


def labels(test: AppTest) -> set[str]:
    return {found.label for found in test.button}


def text(test: AppTest) -> str:
    """Everything the page says."""
    kinds = ("markdown", "caption", "info", "error", "warning")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(test, kind))


def job_of(test: AppTest):
    return test.session_state[live._key("train")]


def test_it_opens_with_a_stored_run(queue):
    test = open_page()
    assert not test.exception
    assert "stored run" in text(test)
    assert "sounds right" in text(test)
    assert "Train" in labels(test)


def test_the_default_race_is_the_stored_one(queue):
    test = open_page()
    button(test, "Train").click().run()
    stored = stored_run("names").race
    assert test.session_state["_race"].race.settings("lora", 0) == replace(stored, device="cpu").settings("lora", 0)
    assert test.session_state["_race"].race.methods == stored.methods


def test_few_words_come_before_the_first_control(queue):
    test = open_page()
    assert len(f"{test.title[0].value} {test.markdown[0].value}".split()) <= 60


def test_every_task_has_its_stored_run(queue):
    from peftcalc.lab.stored_runs import stored_names
    from peftcalc.lab.tasks.catalogue import TASKS

    assert {name for name, task in TASKS.items() if not task.extra} <= set(stored_names())


def test_a_race_from_the_click_to_the_comparison(queue):
    test = open_page(steps="10", seeds="2")
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    test.run()
    assert not test.exception
    assert job.state == "done"
    assert "measured" in text(test)
    assert "stored run" not in text(test)
    assert "beyond chance" in text(test) or "may be chance" in text(test)
    names = {found.label for found in test.get("download_button")}
    assert {"Records, CSV", "Records, JSON", "Figure, PNG", "Figure, SVG", "QDoRA, seed 1"} <= names
    button(test, "Reset").click().run()
    assert "stored run" in text(test)
    assert live._key("train") not in test.session_state


def test_pause_step_and_stop(queue):
    test = open_page(steps="500", methods=["LoRA"])
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: job.step > 1)
    button(test.run(), "Pause").click().run()
    until(lambda: job.parts[0].state == "parked")
    at = job.step
    button(test, "One step").click().run()
    until(lambda: job.step == at + 1)
    assert f"Paused at step {at + 1}" in test.run().get("progress")[0].proto.text
    button(test, "Go on").click().run()
    until(lambda: job.step > at + 1)
    button(test, "Stop").click().run()
    assert job.state == "stopped"
    assert "Stopped at step" in text(test.run())


def test_the_device_is_named_and_chosen(queue):
    test = open_page()
    device = next(menu for menu in test.selectbox if menu.label == "Device")
    assert device.options == ["CPU", "A Card"]


def test_a_refusal_is_a_sentence_in_plain_text(queue):
    test = open_page(lr="0.1")
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    assert "\\<script\\>" in test.run().error[0].value
    assert not test.exception


def test_a_dead_worker_is_a_sentence(queue):
    test = open_page(lr="0.03")
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    assert "ended unexpectedly" in test.run().error[0].value
    assert "stored run" in text(test)


def test_samples_are_plain_text(queue):
    test = open_page(steps="10", methods=["LoRA"])
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    assert "[Takehama]" not in text(test.run())
    assert "\\[Takehama\\]" in text(test)


@pytest.mark.parametrize(
    "query",
    [
        {"rank": "999"},
        {"rank": "<script>alert(1)</script>"},
        {"task": "../../etc/passwd"},
        {"methods": ["full", "<img src=x onerror=alert(1)>"]},
        {"steps": "-1", "seeds": "1e9", "device": "tpu"},
        {"lr": "nan", "alpha": "\x00", "country": "Atlantis"},
    ],
)
def test_a_malformed_link_falls_back_with_a_sentence(queue, query):
    test = open_page(**query)
    assert not test.exception
    assert not re.search(r"(?<!\\)<(script|img)", text(test))
    assert any("does not have" in note.value.replace("\\", "") for note in test.info)


def test_no_method_is_a_sentence(queue):
    test = open_page()
    test.session_state["methods"] = []
    test.run()
    assert not test.exception
    assert "choose at least one method" in text(test)


def test_clicking_again_and_again_leaves_one_job(queue):
    test = open_page(steps="500", methods=["LoRA"])
    for _ in range(20):
        button(test, "Train").click().run()
    assert not test.exception
    assert len(queue._alive) == 1
    assert job_of(test).alive


def test_two_tabs_are_two_visitors(queue):
    one, other = open_page(steps="500", methods=["LoRA"]), open_page(steps="500", methods=["LoRA"])
    button(one, "Train").click().run()
    button(other, "Train").click().run()
    assert job_of(one) is not job_of(other)
    assert one.session_state["_visitor"] != other.session_state["_visitor"]
    assert job_of(one).alive
    assert job_of(other).alive


def test_without_torch_the_page_still_teaches(monkeypatch):
    hello = {"devices": [], "problem": "Training needs PyTorch, which is not installed here."}
    source = f"from peftcalc.jobs.worker import serve; serve({{}}, lambda: {hello})"
    queue = JobQueue((sys.executable, "-c", source), 1, Limits())
    monkeypatch.setattr(live, "queue", lambda: queue)
    until(lambda: queue.problem)
    test = open_page()
    button(test, "Train").click().run()
    assert "Training needs PyTorch" in text(test)
    assert "stored run" in text(test)
    assert not test.exception
    queue.close()


@pytest.mark.parametrize("preset", LESSON.presets, ids=lambda preset: preset.name)
def test_a_preset_moves_the_controls(queue, preset):
    test = open_page()
    button(test, preset.name).click().run()
    assert not test.exception
    assert test.session_state["rank"] == preset.parameters["rank"]
    assert list(test.session_state["methods"]) == list(preset.parameters["methods"])


@pytest.mark.slow
@pytest.mark.parametrize("prompt", LESSON.try_this, ids=lambda prompt: prompt.text[:40])
def test_a_claim_is_true(queue, prompt):
    test = open_page()
    for key, value in prompt.parameters.items():
        test.session_state[key] = value
    assert not test.run().exception
    assert prompt.check()


def test_the_prediction_has_its_answer_among_the_options():
    assert LESSON.prediction is not None
    assert LESSON.prediction.answer() in LESSON.prediction.options


def test_a_race_that_is_too_long_is_refused_with_what_would_do(queue):
    test = open_page(steps="500", seeds="5")
    assert button(test, "Train").disabled
    assert any("would do" in warning.value for warning in test.warning)
    assert not button(open_page(steps="10"), "Train").disabled

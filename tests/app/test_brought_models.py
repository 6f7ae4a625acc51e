"""A model that a visitor brings is built in a worker with limits; the app itself builds nothing and asks nothing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from drawers import pulled
from streamlit.testing.v1 import AppTest
from waiting import until

from peftcalc.jobs.job_queue import JobQueue
from peftcalc.models.load import load_model
from peftcalc.ui import background

WORKER = (sys.executable, str(Path(__file__).with_name("building_worker.py")))


def page() -> None:
    """A page with nothing but the choice of a model."""
    import streamlit as st

    from peftcalc.ui import model_choice
    from peftcalc.ui import page as pages

    with pages.errors_as_sentences():
        shapes = model_choice.choose_model()
        st.markdown(f"{shapes.id}: {shapes.total}")


@pytest.fixture(scope="module")
def queue():
    pool = JobQueue(WORKER, 1, background.LIMITS)
    until(lambda: pool.ready)
    yield pool
    pool.close()


@pytest.fixture
def opened(queue, monkeypatch) -> AppTest:
    kept = background.Kept()
    monkeypatch.setattr(background, "queue", lambda: queue)
    monkeypatch.setattr(background, "kept", lambda: kept)
    return pulled(AppTest.from_function(page, default_timeout=60)).run()


def paste(test: AppTest, config: dict) -> AppTest:
    return test.text_area(key="model-pasted").set_value(json.dumps(config)).run()


def test_the_page_says_where_it_is_built(opened):
    said = " ".join(caption.value for caption in opened.caption)
    assert "worker process of its own, with 10 s and 1 GiB" in said


def test_a_refusal_is_said_in_the_open_box_too(opened):
    """The box lies over the page's own sentence."""
    test = paste(opened, {"hello": 1})
    assert len(test.error) == 2
    assert test.error[0].value == test.error[1].value
    assert "its architecture is not known" in test.error[0].value
    assert not paste(test, {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}).error


def test_what_the_worker_tells_is_the_model(opened):
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}
    paste(opened, config)
    assert opened.markdown[-1].value == f"GPT2LMHeadModel: {load_model(config).total}"


def test_a_refusal_is_a_sentence(opened):
    paste(opened, {"model_type": "gpt2", "n_layer": 10**9})
    assert "layer must be between 1 and 2,000, got 1,000,000,000" in opened.error[0].value
    assert not opened.exception


def test_the_same_content_is_built_once_and_another_name_alone_is_another_content(opened, queue, monkeypatch):
    asked = []
    monkeypatch.setattr(queue, "submit", lambda *given: asked.append(given) or JobQueue.submit(queue, *given))
    config = {"model_type": "gpt2", "n_layer": 1, "n_embd": 32, "n_head": 2}
    for pasted in (config, dict(reversed(config.items())), {**config, "_name_or_path": "openai-community/gpt2"}):
        paste(opened, pasted)
    assert len(asked) == 2
    assert opened.markdown[-1].value.startswith("openai-community/gpt2 (another config): ")


@pytest.mark.slow
def test_what_takes_too_long_or_too_much_is_ended_and_the_next_one_is_built(opened, queue):
    for step, words in (("hang", "limit of this server"), ("swell", "more memory"), ("crash", "ended unexpectedly")):
        paste(opened, {"model_type": "gpt2", "peftcalc_test": step})
        assert words in opened.error[0].value
        until(lambda: queue.ready)
    paste(opened, {"model_type": "gpt2", "n_layer": 1, "n_embd": 32, "n_head": 2})
    assert opened.markdown[-1].value.startswith("GPT2LMHeadModel: ")


@pytest.mark.slow
def test_a_visitor_who_leaves_ends_the_build(queue):
    job = queue.submit("ada", "build", [{"config": {"model_type": "gpt2", "peftcalc_test": "hang"}}])
    until(lambda: job.state == "running")
    busy = queue.process_ids
    job.seen -= background.LIMITS.away
    queue.keep_house(time.monotonic())
    assert job.state == "stopped"
    queue.keep_house(time.monotonic() + background.LIMITS.patience)
    until(lambda: queue.process_ids and queue.process_ids != busy)
    until(lambda: queue.ready)


def test_the_last_models_are_kept_and_no_more():
    kept = background.Kept()
    shapes = load_model("openai-community/gpt2")
    for number in range(background.KEPT + 1):
        kept.put(str(number), shapes)
        assert kept.get("0") or number == background.KEPT
    assert kept.get("1") is None
    assert len(kept.answers) == background.KEPT


SMALL = {"model_type": "gpt2", "n_layer": 1, "n_embd": 32, "n_head": 2}


def shown(test: AppTest) -> str:
    """Which model is counted, and what is said of it."""
    label = test.selectbox(key="model").label.replace("\\", "")
    return f"{test.markdown[-1].value.partition(':')[0]} | {label}"


def test_what_was_said_last_counts(opened):
    assert shown(opened) == "meta-llama/Llama-3.1-8B | Model"
    paste(opened, SMALL)
    told = "Shown is your pasted config.json, not:"
    assert shown(opened) == f"GPT2LMHeadModel | {told}"
    opened.selectbox(key="model").set_value("meta-llama/Llama-3.2-1B").run()
    assert shown(opened) == "meta-llama/Llama-3.2-1B | Model"
    assert opened.text_area(key="model-pasted").value == ""
    paste(opened, SMALL)
    opened.text_input(key="model-hub").set_value("openai-community/gpt2").run()
    assert shown(opened) == "openai-community/gpt2 | Shown is openai-community/gpt2, not:"
    paste(opened, SMALL)
    assert shown(opened) == f"GPT2LMHeadModel | {told}"
    opened.button(key="model-forget").click().run()
    assert shown(opened) == "meta-llama/Llama-3.2-1B | Model"
    assert not opened.exception


def test_an_example_leads_away_from_a_model_that_was_brought(opened):
    paste(opened, SMALL)
    opened.session_state["model"] = "meta-llama/Llama-3.2-3B"  # as an example does, the drawer being closed
    opened.session_state["drawer-model"] = False
    assert shown(opened.run()) == "meta-llama/Llama-3.2-3B | Model"


def test_a_file_stands_until_a_text_is_pasted(opened):
    opened.session_state["_uploaded_config"] = json.dumps({**SMALL, "n_layer": 2}).encode()
    told = "Shown is your uploaded config.json, not:"
    assert shown(opened.run()) == f"GPT2LMHeadModel | {told}"
    paste(opened, SMALL)
    assert opened.markdown[-1].value == f"GPT2LMHeadModel: {load_model(SMALL).total}"

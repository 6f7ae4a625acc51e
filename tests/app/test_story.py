"""The story: what each scene says is so and short, what travels with it is what the core computes, links and doors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.methods import METHODS
from peftcalc.ui.components.mount import payload
from peftcalc.ui.components.parts import as_text, checked, from_text
from peftcalc.ui.components.story import passage, story_data, story_parts
from peftcalc.ui.pages import PAGES
from peftcalc.ui.story.pictures import STORY_CARD, memory_data, pick_data
from peftcalc.ui.story.presets import (
    CARDS,
    COUNTRIES,
    MODELS,
    PRIORITIES,
    STORY_MODEL,
    answer_preset,
    card_preset,
    counter_preset,
    model_preset,
    stored,
)
from peftcalc.ui.story.scenes import MOST_WORDS, SCENES

HOME = Path(__file__).parents[2] / "pages" / "home.py"
scenes = pytest.mark.parametrize("scene", SCENES, ids=[scene.title for scene in SCENES])


@scenes
def test_what_a_scene_says_is_so_and_short(scene):
    assert len(scene.words.split()) <= MOST_WORDS
    assert scene.right() in scene.options
    assert scene.claim()
    assert scene.answer().endswith(".")
    assert scene.door.path in {entry.path for entry in PAGES}


def test_there_are_nine_and_the_answers_say_the_computed_numbers():
    assert len(SCENES) == 9
    said = {scene.title: scene.answer() for scene in SCENES}
    assert "8,030,261,248" in said["Usually, all of it moves"]
    assert "rank 1 trains 0.03 %, rank 16 0.52 %" in said["Rank"]
    assert "16.5 GB instead of 80.3 GB" in said["One base, many tasks"]


def test_what_travels_is_what_the_core_computes():
    kept = stored()
    assert kept["counter"] == counter_preset()
    assert kept["cards"] == [card_preset(card) for card in CARDS]
    assert [one["id"] for one in kept["models"]] == list(MODELS)
    for model in (STORY_MODEL, "Qwen/Qwen2.5-32B"):
        assert kept["models"][list(MODELS).index(model)] == model_preset(model)
    assert len(kept["answers"]) == len(MODELS) * len(CARDS) * len(PRIORITIES)
    for model, card, wish in ((0, 5, 1), (2, 1, 0), (5, 4, 3)):
        place = (model * len(CARDS) + card) * len(PRIORITIES) + wish
        asked = answer_preset(list(MODELS)[model], CARDS[card], PRIORITIES[wish])
        assert kept["answers"][place] == asked
        method, call, needs, *_ = pick_data()["answers"][place]
        assert (method, pick_data()["calls"][call], needs) == (asked["method"], asked["call"], asked["needs"])


def test_the_bars_say_what_the_advice_says():
    kept, compared = stored(), 0
    for place, answer in enumerate(kept["answers"]):
        model, card = divmod(place // len(PRIORITIES), len(CARDS))
        if answer["checkpointing"] and "rank=16" in answer["call"] and CARDS[card] != "H200":
            bar = kept["models"][model]["needs"][list(METHODS).index(answer["method"])]
            assert f"{bar:.1f}" == f"{answer['needs']:.1f}", (list(MODELS)[model], CARDS[card], answer)
            compared += 1
    assert compared > 30


def test_the_adapters_are_of_the_small_model_and_change_its_samples():
    adapters, base = stored()["adapters"], stored()["base"]
    assert [one["task"] for one in adapters] == list(COUNTRIES)
    for one in adapters:
        assert one["bytes"] == 4 * one["trained"] < base["bytes"] / 10 == 4 * base["parameters"] / 10
        assert one["before"] == adapters[0]["before"]
        assert one["judged"][1] > 0.5 > one["judged"][0]
    assert len({tuple(one["after"]) for one in adapters}) == len(adapters)


def test_what_was_chosen_elsewhere_is_where_the_last_scenes_begin():
    assert memory_data("Qwen/Qwen2.5-14B", "H200")["model"] == list(MODELS).index("Qwen/Qwen2.5-14B")
    assert memory_data("Qwen/Qwen2.5-14B", "H200")["card"] == CARDS.index("H200")
    assert memory_data("openai-community/gpt2", "T4") == memory_data(STORY_MODEL, STORY_CARD)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("5", {"scene": 5}),
        ("3;rank:7", {"scene": 3, "rank": 7}),
        ("6;x:-1;y:2", {"scene": 6, "x": -1, "y": 2}),
        ("7;x:0.1", {"scene": 7, "x": "0.1"}),
        ("9;face:1;card:2;wish:3", {"scene": 9, "face": 1, "card": 2, "wish": 3}),
        ("steps:12", {"steps": 12}),
    ],
)
def test_a_scene_and_what_was_moved_in_it_are_a_link(text, state):
    assert from_text(story_parts(), text, lead="scene") == state == checked(story_parts(), state)
    assert as_text(state, lead="scene") == text


@pytest.mark.parametrize("text", ["0", "10", "five", "3;rank:17", "1;rank:4", "5;scene:11", "6;x:far"])
def test_a_link_that_says_no_scene_is_a_sentence(text):
    with pytest.raises(ValueError, match="must"):
        from_text(story_parts(), text, lead="scene")


def test_the_page_sends_the_scene_of_its_link_and_a_note_about_a_broken_one():
    page = AppTest.from_file(str(HOME), default_timeout=60)
    page.query_params["scene"] = "5;dropout:0.1"
    page.run()
    assert not page.exception
    [sent] = [json.loads(one.proto.bytes) for one in page.main if one.type == "bidi_component"]
    assert sent["state"] == {"scene": 5, "dropout": 0.1}
    assert {**payload("story", story_data(), sent["state"]), "projector": False} == sent
    page = AppTest.from_file(str(HOME), default_timeout=60)
    page.query_params["scene"] = "12"
    page.run()
    assert "scene must be a whole number from 1 to 9" in page.info[0].value.replace("\\", "")


def test_a_door_leads_to_its_page_with_what_was_chosen_and_a_strange_message_nowhere():
    way = passage({"scene": 8, "model": 2, "card": 5})
    assert way is not None
    assert (way.path, way.query) == ("memory", {"model": STORY_MODEL, "gpu": "H200"})
    way = passage({"scene": 4, "model": None, "card": None})
    assert way is not None
    assert (way.path, way.query) == ("rank", {"section": "alpha"})
    strange = [None, 5, "memory", {}, {"scene": 0}, {"scene": 8, "model": 99}, {"scene": 8, "card": "H200"}]
    assert [passage(message) for message in strange] == [None] * len(strange)

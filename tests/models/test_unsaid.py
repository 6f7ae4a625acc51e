"""What a class sets where a configuration is silent is known, and changes no model."""

from __future__ import annotations

import pytest

import peftcalc as pc
from peftcalc.models.catalogue import catalogue_ids, catalogue_shapes
from peftcalc.models.configs.transformers_classes import config_object, quiet
from peftcalc.models.configs.unsaid import settings, unsaid
from peftcalc.models.shapes import ModelShapes


def test_a_bare_configuration_has_its_class_s_activation_and_dropouts() -> None:
    shapes = pc.load_model({"model_type": "gpt2"})
    found = settings(shapes)
    assert (found["activation_function"], found["attn_pdrop"], found["n_embd"]) == ("gelu_new", 0.1, 768)
    assert shapes.config == {"model_type": "gpt2"}, "as it was given"
    assert not any(key.endswith("_token_id") or key.startswith("_") for key in shapes.unsaid)
    assert "transformers_version" not in shapes.unsaid


def test_what_a_configuration_says_is_not_overruled() -> None:
    assert settings(pc.load_model({"model_type": "gpt2", "attn_pdrop": 0.0}))["attn_pdrop"] == 0.0


def test_it_travels_and_makes_no_other_model() -> None:
    shapes = pc.load_model({"model_type": "gpt2"})
    again = ModelShapes.from_dict(shapes.to_dict())
    assert again.unsaid == shapes.unsaid
    assert again == shapes
    plain = ModelShapes.from_dict({**shapes.to_dict(), "unsaid": {}})
    assert plain == shapes
    assert hash(plain) == hash(shapes)


def test_parts_are_filled_in_their_place() -> None:
    given = {"model_type": "x", "text_config": {"hidden_size": 8}, "vision_config": {"depth": 2}}
    of_all = {"text_config": {"hidden_size": 8, "hidden_act": "gelu"}, "vision_config": {"depth": 2, "act": "silu"}}
    assert unsaid(given, of_all) == {"text_config": {"hidden_act": "gelu"}, "vision_config": {"act": "silu"}}
    assert unsaid(given, {"hidden_size": 8, "hidden_act": "gelu"}) == {"text_config": {"hidden_act": "gelu"}}
    assert unsaid({}, {"text_config": {"a": 1}, "labels": {"0": "no"}, "kinds": ["x", "y"]}) == {
        "text_config": {"a": 1},
        "kinds": ["x", "y"],
    }


def test_gemma_s_layers_slide_as_its_class_says() -> None:
    kinds = settings(pc.load_model("google/gemma-3-1b-pt"))["layer_types"]
    assert kinds.count("sliding_attention") == 22
    assert len(kinds) == 26


@pytest.mark.slow
def test_the_catalogue_knows_what_its_classes_set() -> None:
    for name in catalogue_ids():
        shapes = catalogue_shapes(name)
        with quiet():
            made = config_object(shapes.config).to_dict()
        if "text_config" in made or "text_config" not in shapes.config:
            assert shapes.unsaid == unsaid(shapes.config, made), name

"""A name is anybody's: what is remembered about a model, or sent to a worker, goes by its content."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from peftcalc.models.load import load_model
from peftcalc.ui.memory import step

LLAMA_8B = "meta-llama/Llama-3.1-8B"
CRAFTED: dict[str, Any] = {
    "model_type": "llama",
    "_name_or_path": LLAMA_8B,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 100,
}


@pytest.mark.parametrize("name", [LLAMA_8B, "llama-3.1-8b-instruct", "LLAMA-3.1-8B"])
def test_another_model_under_a_name_of_the_catalogue_gets_another_id(name: str) -> None:
    assert load_model({**CRAFTED, "_name_or_path": name}).id == f"{name} (another config)"


def test_the_same_weights_keep_the_name() -> None:
    known = load_model("openai-community/gpt2")
    assert load_model({**known.config, "_name_or_path": known.id}).id == known.id


def test_a_worker_is_sent_the_content_and_the_name_only_of_the_very_record() -> None:
    known, crafted = load_model(LLAMA_8B), load_model(CRAFTED)
    assert step._model_key(known) == LLAMA_8B
    for other in (crafted, replace(crafted, id=LLAMA_8B), replace(known, config={**known.config, "head_dim": 1})):
        assert step._model_key(other) == other.config


def test_every_part_of_a_record_is_in_its_fingerprint() -> None:
    shapes = load_model(CRAFTED)
    others = [
        replace(shapes, id="another"),
        replace(shapes, architecture="Another"),
        replace(shapes, config={**shapes.config, "rope_theta": 3}),
        replace(shapes, groups=shapes.groups[::-1]),
        replace(shapes, output_embedding=None),
    ]
    assert len({found.fingerprint for found in (shapes, *others)}) == 1 + len(others)
    assert replace(shapes).fingerprint == shapes.fingerprint

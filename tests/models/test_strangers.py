"""The mutations of `benchmarks/strangers.py` on a handful of model types, in this process: a count or a sentence."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

FILE = Path(__file__).parents[2] / "benchmarks/strangers.py"


@pytest.fixture(scope="module")
def strangers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("strangers", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["strangers"] = module
    spec.loader.exec_module(module)
    return module


def test_a_number_is_pushed_at_every_depth_and_nothing_else_changes(strangers: ModuleType) -> None:
    config = {"a": 1, "b": True, "c": {"d": [2.5, 3]}, "id2label": {"0": 7}, "e": "text"}
    assert list(strangers._numbers(config, ())) == [("a",), ("c", "d", 0)]
    found = dict(strangers.mutations(config, 1_000, random.Random(0)))
    assert len(found) == 2 * len(strangers.ENDS)
    assert found["c.d.0 = 100000"] == {**config, "c": {"d": [100_000, 3]}}
    assert config["c"] == {"d": [2.5, 3]}


@pytest.mark.parametrize("model_type", ["bert", "t5", "mixtral", "resnet", "llava", "wav2vec2"])
def test_numbers_at_their_ends_are_a_count_or_a_sentence(strangers: ModuleType, model_type: str) -> None:
    config = {**strangers.default_config(model_type), "architectures": None}
    for what, mutated in strangers.mutations(config, 6, random.Random(f"quick {model_type}")):
        answer = _answer(mutated)
        assert isinstance(answer, ModelShapes) or (0 < len(answer) < 700 and "\n" not in answer), what


def _answer(config: dict[str, Any]) -> ModelShapes | str:
    try:
        return load_model(config)
    except ValueError as refused:
        return str(refused)

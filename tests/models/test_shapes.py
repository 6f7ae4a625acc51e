"""The record: equal layers once, names rebuilt, the JSON form."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc.models.shapes import ModelShapes, ModuleGroup, Tensor


def attention(layers: tuple[int, ...]) -> ModelShapes:
    query = ModuleGroup("layers.{}.q", "linear", "Linear", (Tensor("weight", (6, 4)),), layers, 4, 6)
    norm = ModuleGroup("layers.{}.norm", "norm", "Norm", (Tensor("weight", (4,)),), layers)
    table = ModuleGroup("embed", "embedding", "Embedding", (Tensor("weight", (10, 4)),), (), 10, 4)
    head = ModuleGroup("head", "linear", "Linear", (Tensor("weight", (10, 4), "embed.weight"),), (), 4, 10)
    return ModelShapes("tiny", "Tiny", {"model_type": "tiny"}, (table, query, norm, head), "embed", "head")


def test_tied_weights_are_counted_where_they_are_owned() -> None:
    shapes = attention((0, 1, 2))
    assert shapes.total == 40 + 3 * (24 + 4)
    assert shapes.groups[-1].parameters == 0
    assert shapes.groups[-1].tensors[0].numel == 40


def test_modules_are_listed_layer_after_layer() -> None:
    names = [name for name, _ in attention((0, 1)).modules()]
    assert names == ["embed", "layers.0.q", "layers.0.norm", "layers.1.q", "layers.1.norm", "head"]


@settings(deadline=None, derandomize=True)
@given(st.sets(st.integers(0, 300), min_size=1).map(lambda found: tuple(sorted(found))))
def test_the_json_form_brings_back_the_same_record(layers: tuple[int, ...]) -> None:
    shapes = attention(layers)
    again = ModelShapes.from_dict(json.loads(json.dumps(shapes.to_dict())))
    assert again == shapes
    assert hash(again) == hash(shapes)


def test_the_json_form_does_not_grow_with_depth() -> None:
    short, long = (len(json.dumps(attention(tuple(range(depth))).to_dict())) for depth in (10, 10_000))
    assert long - short < 20

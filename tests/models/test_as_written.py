"""A configuration as other programs, and transformers itself, write it: no false refusal and no false alarm."""

from __future__ import annotations

import json
from typing import Any

import pytest
import transformers as tf

from peftcalc import LoRA, count
from peftcalc.models.configs.written_forms import as_transformers_reads, label_count
from peftcalc.models.limits import MAX_LABELS, check_config
from peftcalc.models.load import load_model
from peftcalc.recipes.model_class import configured_labels

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 128,
}
CLASSIFIER = {**LLAMA, "architectures": ["LlamaForSequenceClassification"]}
WITHOUT_HEAD = 78_144


def as_saved(model_type: str, **sizes: Any) -> dict[str, Any]:
    """What `save_pretrained` of a configuration writes."""
    return {
        **json.loads(tf.CONFIG_MAPPING[model_type](**sizes).to_json_string(use_diff=False)),
        "model_type": model_type,
    }


# Numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in LLAMA if name != "model_type"])
def test_a_float_without_a_fraction_is_the_number_that_it_is(name: str) -> None:
    assert load_model({**LLAMA, name: float(LLAMA[name])}).groups == load_model(LLAMA).groups


def test_only_dimensions_become_whole() -> None:
    given = {"rope_theta": 1e4, "part": {"depths": [2.0, 3.0], "mlp_ratio": 4.0}, "hidden_size": 2.5}
    read = as_transformers_reads(given)
    assert repr(read) == "{'rope_theta': 10000.0, 'part': {'depths': [2, 3], 'mlp_ratio': 4.0}, 'hidden_size': 2.5}"


# Labels --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "number", "said"),
    [
        ({}, 2, False),
        ({"id2label": {}}, 2, False),
        ({"id2label": None, "label2id": None, "num_labels": None}, 2, False),
        ({"id2label": ["a", "b", "c"], "label2id": ["a", "b", "c"]}, 3, True),
        ({"id2label": {"0": "a"}, "num_labels": 5}, 5, True),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": None}, 3, True),
    ],
)
def test_labels_however_they_are_written(labels: dict[str, Any], number: int, said: bool) -> None:
    config = {**CLASSIFIER, **labels}
    shapes = load_model(config)
    assert shapes.total == WITHOUT_HEAD + 64 * number
    assert label_count(config) == (number if said else None)
    assert any("the config says no number" in note for note in shapes.notes) is not said
    assert configured_labels(shapes) == number
    assert count(shapes, LoRA(rank=1), "SEQ_CLS").total == count(shapes, LoRA(rank=1), "SEQ_CLS", number).total


def test_a_list_of_labels_is_bounded_too() -> None:
    with pytest.raises(ValueError, match="id2label must have at most 100,000 entries"):
        check_config({"id2label": ["a"] * (MAX_LABELS + 1)})


# Limits --------------------------------------------------------------------------------------------------------------


def test_a_number_for_each_layer_is_no_number_of_layers() -> None:
    """Laguna has heads by layer: 40 times 48, beside 256 experts."""
    heads = [48] * 60
    check_config({"num_hidden_layers": 60, "num_attention_heads_per_layer": heads, "num_experts": 256})
    check_config({"num_hidden_layers": 60, "num_experts_per_layer": [256] * 60})
    assert load_model(as_saved("laguna")).total > 3e10
    with pytest.raises(ValueError, match=r"got 60 × 4,000 = 240,000"):
        check_config({"num_hidden_layers": 60, "num_experts": [8, 4_000]})


def test_experts_that_are_rows_of_a_table_are_no_modules() -> None:
    """Doge: 16,384 of them by default, in 32 layers, in use or not."""
    assert load_model({"model_type": "doge"}).total == load_model({"model_type": "doge", "num_experts": 8}).total
    with pytest.raises(ValueError, match="layers times experts"):
        check_config({"model_type": "mixtral", "num_local_experts": 16_384, "num_hidden_layers": 32})


# Notes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["glm4_moe_lite", "resnet", "swin", "gpt_bigcode", "paligemma", "qwen3_moe"])
def test_what_transformers_itself_writes_is_known(model_type: str) -> None:
    """`qk_head_dim`, `stage_names`, `hidden_size` are made of other fields; PaliGemma hands one to its tower."""
    notes = load_model(as_saved(model_type)).notes
    assert not [note for note in notes if "does not know" in note]


def test_a_foreign_field_is_said_beside_one_that_the_class_makes() -> None:
    sizes = {"num_hidden_layers": 1, "n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1, "topk_group": 1}
    notes = load_model({**as_saved("deepseek_v3", **sizes), "num_nextn_predict_layers": 1, "head_dim_2": 8}).notes
    assert [note for note in notes if "does not know" in note and "qk_head_dim" not in note and "head_dim_2" in note]


def test_a_resnet_in_the_place_of_timm_s_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_timm_available", lambda: False)
    notes = load_model(as_saved("detr")).notes
    assert not [note for note in notes if "leaves out" in note]


def test_a_backbone_of_timm_is_left_out_where_a_backbone_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_timm_available", lambda: False)
    shapes = load_model({"model_type": "omdet-turbo"})
    assert [note for note in shapes.notes if "swin_tiny_patch4_window7_224 is a model of timm" in note]
    assert not [note for note in shapes.notes if "StandIn" in note]


@pytest.mark.parametrize(
    ("model_type", "fields"),
    [
        ("ministral", "head_dim"),
        ("nemotron", "num_key_value_heads"),
        ("lfm2_moe", "layer_types"),
        ("esm", "vocab_size"),
    ],
)
def test_a_size_that_a_class_cannot_do_without_is_named(model_type: str, fields: str) -> None:
    with pytest.raises(ValueError, match=f"these fields have no value: {fields}"):
        load_model({"model_type": model_type})

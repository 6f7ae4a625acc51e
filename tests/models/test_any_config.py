"""Any `config.json` is read: settings without parameters refuse nothing, other models than asked are said, and a file
of another kind is told what it is."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from peftcalc.models.configs.without_parameters import has_no_parameters, plain_config
from peftcalc.models.files import parse_json
from peftcalc.models.load import load_model

SIZE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **SIZE, **HEADS, "architectures": ["LlamaForCausalLM"]},
    "phi3": {"model_type": "phi3", **SIZE, **HEADS, "pad_token_id": 0, "original_max_position_embeddings": 4096},
    "gemma3": {"model_type": "gemma3_text", **SIZE, **HEADS, "head_dim": 8},
    "bert": {"model_type": "bert", **SIZE, "num_attention_heads": 4},
    "t5": {"model_type": "t5", "d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 2, "num_heads": 4, "vocab_size": 64},
}
LLAMA = CONFIGS["llama"]

WITHOUT_PARAMETERS: dict[str, dict[str, Any]] = {
    "su": {"rope_scaling": {"type": "su", "long_factor": [1.0] * 4, "short_factor": [1.0] * 4}},
    "longrope": {"rope_scaling": {"type": "longrope", "long_factor": [1.0] * 4, "short_factor": [1.0] * 4}},
    "ntk": {"rope_scaling": {"type": "dynamic-ntk", "factor": "4"}},
    "yarn without a factor": {"rope_scaling": {"rope_type": "yarn"}},
    "no mapping": {"rope_scaling": "linear"},
    "rope parameters": {"rope_parameters": {"rope_type": "of next year", "factor": 2}},
    "theta as text": {"rope_theta": "1e6"},
    "dtype auto": {"torch_dtype": "auto"},
    "dtype with its module": {"torch_dtype": "torch.float16"},
    "dtype of next year": {"dtype": "float3"},
    "kernel": {"_attn_implementation": "flash_attention_9"},
    "quantized": {"quantization_config": {"quant_method": "of next year"}},
    "numbers as text": {"rms_norm_eps": "1e-5", "initializer_range": "0.02", "layer_norm_eps": "1e-5"},
    "no dropout": {"attention_dropout": None, "attention_probs_dropout_prob": None},
    "padding beyond the vocabulary": {"pad_token_id": 10_000},
    "padding by name": {"pad_token_id": "<pad>"},
    "generation": {"temperature": "hot", "do_sample": "yes", "use_cache": "true"},
    "problem": {"problem_type": "of next year"},
}


@pytest.mark.parametrize("setting", WITHOUT_PARAMETERS)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_setting_without_parameters_changes_nothing(name: str, setting: str) -> None:
    config = CONFIGS[name]
    assert load_model({**config, **WITHOUT_PARAMETERS[setting]}).groups == load_model(config).groups


def test_a_setting_that_could_not_be_read_is_named() -> None:
    notes = load_model({**LLAMA, "rope_scaling": {"type": "of next year"}, "torch_dtype": "auto"}).notes
    assert [note for note in notes if "rope_scaling" in note and "no parameters" in note]
    assert not load_model({**LLAMA, "rope_scaling": {"type": "linear", "factor": 2.0}}).notes


def test_parts_are_cleaned_too() -> None:
    assert plain_config({"a": {"torch_dtype": "auto", "d_model": 3}}) == {"a": {"d_model": 3}}


@pytest.mark.parametrize(
    "name", ["hidden_size", "qk_rope_head_dim", "num_experts_per_tok", "tie_word_embeddings", "layer_types", "d_kv"]
)
def test_what_has_parameters_is_never_left_out(name: str) -> None:
    assert not has_no_parameters(name)


@pytest.mark.parametrize("wrong", [{"num_attention_heads": 7}, {"hidden_act": "no_such_activation"}])
def test_a_real_contradiction_is_still_refused_with_its_own_reason(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot build LlamaForCausalLM"):
        load_model({**LLAMA, **wrong, "rope_scaling": {"type": "su"}})


def test_a_tower_of_a_library_that_is_missing_leaves_the_rest_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_timm_available", lambda: False)
    text = {**SIZE, **HEADS, "head_dim": 8, "vocab_size_per_layer_input": 64, "num_kv_shared_layers": 0}
    text |= {"hidden_size_per_layer_input": 8, "laurel_rank": 4, "intermediate_size": [48, 48]}
    audio = {"hidden_size": 32, "conf_num_hidden_layers": 1, "conf_num_attention_heads": 4}
    config = {"model_type": "gemma3n", "text_config": text, "audio_config": audio}
    shapes = load_model({**config, "architectures": ["Gemma3nForConditionalGeneration"]})
    assert any("audio_tower" in group.template for group in shapes.groups)
    assert any("vision are not in this count" in note and "pip install timm" in note for note in shapes.notes)


def test_a_backbone_of_timm_that_transformers_has_too_is_built_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published count of DETR with ResNet-50 is 41 million (arXiv:2005.12872, table 1)."""
    from transformers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_timm_available", lambda: False)
    named = {"backbone": "resnet50", "use_timm_backbone": True, "use_pretrained_backbone": True}
    config = {"model_type": "detr", "architectures": ["DetrForObjectDetection"], **named, "backbone_kwargs": {}}
    assert 41_000_000 < load_model({**config, "num_labels": 91}).total < 42_000_000


def test_a_backbone_on_the_hub_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match=r"repository of the hub .*put the content"):
        load_model({"model_type": "detr", "backbone": "someone/backbone", "use_timm_backbone": False})


# Another model than asked --------------------------------------------------------------------------------------------


def said(config: dict[str, Any]) -> str:
    return " | ".join(load_model(config).notes)


def test_a_class_that_is_not_counted_is_said() -> None:
    assert "LlamaForCausalLMEagle3, no class of transformers" in said(
        {**LLAMA, "architectures": ["LlamaForCausalLMEagle3"]}
    )
    assert "GPT2LMHeadModel, no class of model_type 'llama'" in said({**LLAMA, "architectures": ["GPT2LMHeadModel"]})
    assert said(LLAMA) == ""


def test_fields_that_the_class_does_not_know_are_listed() -> None:
    notes = said({**LLAMA, "draft_vocab_size": 32, "n_embd": 16, "rope_theta": 1e4, "pretraining_tp": 1})
    assert "does not know these fields of the config, which are not counted: draft_vocab_size, n_embd" in notes
    assert "pretraining_tp" not in notes


def test_a_flat_config_of_a_model_of_parts_is_said() -> None:
    flat = {**SIZE, "num_attention_heads": 4, "mm_hidden_size": 16, "mm_vision_tower": "openai/clip"}
    notes = said({"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"], **flat})
    for words in ("LlavaLlamaForCausalLM", "hidden_size", "mm_vision_tower", "vision_config = CLIPVisionConfig"):
        assert words in notes


def test_defaults_that_were_taken_are_listed_with_their_values() -> None:
    notes = said({name: value for name, value in LLAMA.items() if name not in ("vocab_size", "num_hidden_layers")})
    assert "vocab_size = 32,000" in notes
    assert "num_hidden_layers = 32" in notes
    assert "hidden_size =" not in notes.replace("intermediate_size =", "")


def test_fields_that_only_the_model_itself_reads_are_known() -> None:
    old = {"model_type": "deberta-v2", **SIZE, "num_attention_heads": 4, "relative_attention": True}
    assert "position_buckets" not in said({**old, "position_buckets": 16, "share_att_key": True, "norm_rel_ebd": "x"})


def test_a_config_without_model_type_is_known_by_its_class() -> None:
    config = {name: value for name, value in LLAMA.items() if name != "model_type"}
    assert load_model(config).groups == load_model(LLAMA).groups


def test_a_model_type_without_classes_of_its_own_is_built_as_transformers_builds_it() -> None:
    assert load_model({**LLAMA, "model_type": "internlm3", "architectures": None}).architecture == "LlamaForCausalLM"


# Files of other kinds and codings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_coding_is_read_from_a_file_and_from_an_upload(coding: str, tmp_path: Path) -> None:
    raw = json.dumps(LLAMA).encode(coding)
    path = tmp_path / "config.json"
    path.write_bytes(raw)
    assert parse_json(raw) == LLAMA
    assert load_model(path).groups == load_model(LLAMA).groups


def test_a_pasted_byte_order_mark_is_no_reason_to_refuse() -> None:
    assert parse_json("\ufeff" + json.dumps(LLAMA)) == LLAMA


HEADER = b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
OTHER_FILES = {
    "GGUF": b"GGUF\x03\x00\x00\x00" + bytes(100),
    "safetensors": struct.pack("<Q", len(HEADER)) + HEADER + bytes(4),
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 660\n",
    "PyTorch checkpoint": b"PK\x03\x04" + bytes(100),
    "HTML": b"<!DOCTYPE html>\n<html><body>404</body></html>",
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_a_file_of_another_kind_is_told_what_it_is(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(OTHER_FILES[kind])
    for read in (lambda: load_model(path), lambda: parse_json(OTHER_FILES[kind])):
        with pytest.raises(ValueError, match=kind) as caught:
            read()
        assert "give the config.json" in str(caught.value)


def test_a_large_file_of_another_kind_is_told_what_it_is_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.write(OTHER_FILES["GGUF"])
        file.truncate(200_000_000)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("the file was read"))
    with pytest.raises(ValueError, match="GGUF"):
        load_model(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"peft_type": "LORA", "base_model_name_or_path": "org/base"}, r"adapter_config.json.*\(org/base\)"),
        ({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.30"}, r"diffusers \(UNet2DConditionModel\)"),
        ({"metadata": {}, "weight_map": {}}, "index of weight files"),
        ({"tokenizer_class": "LlamaTokenizer"}, "tokenizer_config.json"),
        ({"image_processor_type": "ViTImageProcessor"}, "preprocessor_config.json"),
        ({"_from_model_config": True, "eos_token_id": 2}, "generation_config.json"),
        ({"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {}}, r"timm \(resnet18\)"),
        ({"dim": 4096, "n_heads": 32, "n_layers": 32}, "params.json"),
    ],
)
def test_json_of_another_kind_is_told_what_it_is(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_model(content)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("adapter_config.json", "read_adapter_config"),
        ("model_index.json", "diffusers"),
        ("model.gguf", "GGUF"),
        ("model.safetensors", "weights and no config.json"),
    ],
)
def test_a_folder_without_a_config_is_told_what_it_holds(file: str, words: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("{}")
    with pytest.raises(ValueError, match=words):
        load_model(tmp_path)

"""One door for every source, and one clear sentence for everything that is no model."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from peftcalc.models.files import parse_json
from peftcalc.models.limits import MAX_LAYERS
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def written(folder: Path, content: str | bytes, name: str = "config.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(source: Any) -> str:
    """The sentence with which a source is refused: one line, not endless."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        load_model(source)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 700
    return sentence


def test_a_dictionary_a_file_and_its_folder_give_the_same_weights(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(LLAMA))
    shapes = [load_model(source) for source in (LLAMA, path, str(path), tmp_path)]
    assert len({found.groups for found in shapes}) == 1
    assert shapes[1].id == tmp_path.name


def test_a_module_gives_the_weights_of_its_config() -> None:
    with torch.device("meta"):
        module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA))
    assert load_model(module).groups == load_model(LLAMA).groups


def test_the_caller_keeps_the_dictionary_unchanged() -> None:
    config = {**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "quantization_config": {"bits": 4}}
    before = copy.deepcopy(config)
    shapes = load_model(config)
    assert config == before
    assert shapes.config == before


@pytest.mark.parametrize(
    "name", ["meta-llama/Llama-3.1-8B", "META-LLAMA/llama-3.1-8b", "llama-3.1-8b", " meta-llama/Llama-3.1-8B "]
)
def test_catalogue_ids_in_any_case(name: str) -> None:
    assert load_model(name).total == 8_030_261_248


def test_a_record_passes_through() -> None:
    shapes = load_model(LLAMA)
    assert isinstance(shapes, ModelShapes)
    assert load_model(shapes) is shapes


def test_a_path_object_is_never_taken_for_a_catalogue_id(tmp_path: Path) -> None:
    assert "no model" in refused(tmp_path / "gpt2")


@pytest.mark.parametrize(
    ("architecture", "head"),
    [("LlamaForSequenceClassification", ("score",)), ("LlamaForCausalLM", ()), ("LlamaModel", ())],
)
def test_the_class_is_the_one_that_architectures_names(architecture: str, head: tuple[str, ...]) -> None:
    shapes = load_model({**LLAMA, "architectures": [architecture]})
    assert (shapes.architecture, shapes.classification_head) == (architecture, head)


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [("gpt2", "GPT2LMHeadModel"), ("t5", "T5ForConditionalGeneration"), ("vit", "ViTForImageClassification")],
)
def test_without_architectures_the_usual_class_is_built(model_type: str, architecture: str) -> None:
    assert load_model({"model_type": model_type}).architecture == architecture


@pytest.mark.parametrize("names", [["GPT2LMHeadModel"], ["os"], ["NoSuchModel"], ["PreTrainedModel"], []])
def test_a_class_that_does_not_belong_is_not_used(names: list[str]) -> None:
    assert load_model({**LLAMA, "architectures": names}).architecture == "LlamaForCausalLM"


def test_a_multimodal_config_is_counted_with_its_tower() -> None:
    text = {key: value for key, value in LLAMA.items() if key != "architectures"}
    vision = {"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = {"model_type": "llava", "text_config": text, "vision_config": {**vision, "num_attention_heads": 4}}
    shapes = load_model(config)
    assert shapes.architecture == "LlavaForConditionalGeneration"
    names = {group.template for group in shapes.groups}
    assert any("vision_tower" in name for name in names)
    assert any("language_model" in name for name in names)


def test_a_quantized_checkpoint_is_counted_by_its_logical_parameters() -> None:
    quantized = {**LLAMA, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    assert load_model(quantized).total == load_model(LLAMA).total


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": "32"}, "hidden_size must be a whole number between 1 and 100,000,000, got '32'"),
        ({"hidden_size": -32}, "hidden_size must be between 1 and 100,000,000, got -32"),
        ({"hidden_size": 0}, "hidden_size must be between 1"),
        ({"hidden_size": 10**13}, "got 10,000,000,000,000"),
        ({"vocab_size": float("nan")}, "vocab_size must be a whole number"),
        ({"num_hidden_layers": 1.5}, "num_hidden_layers must be a whole number"),
        ({"num_hidden_layers": 10**6}, f"num_hidden_layers must be between 1 and {MAX_LAYERS:,}"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be between 1"),
        ({"num_attention_heads": 7}, "cannot build LlamaForCausalLM"),
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_act": "no_such_activation"}, "cannot build LlamaForCausalLM"),
        ({"num_labels": 10**9}, "num_labels must be between 0 and 100,000"),
        ({"architectures": "LlamaForCausalLM"}, "architectures must be a list"),
        ({"model_type": "lama"}, "no model_type 'lama'; nearest: llama"),
        ({"model_type": None}, "no model_type"),
        ({"model_type": 3}, "no model_type"),
    ],
)
def test_settings_that_no_model_has(change: dict[str, Any], words: str) -> None:
    assert words in refused({**LLAMA, **change})


def test_dimensions_that_multiply_to_the_absurd() -> None:
    huge = {**LLAMA, "hidden_size": 10**8, "intermediate_size": 10**8, "vocab_size": 10**8}
    assert "the limit is 1,000,000,000,000,000" in refused(huge)


def test_nested_configurations_are_checked_too() -> None:
    text = {**LLAMA, "hidden_size": "wide"}
    assert "text_config.hidden_size" in refused({"model_type": "llava", "text_config": text})


@pytest.mark.parametrize(
    ("model_type", "setting"),
    [("gpt2", "n_layer"), ("t5", "num_layers"), ("whisper", "encoder_layers"), ("mixtral", "num_local_experts")],
)
def test_counts_of_layers_and_experts_are_bounded_before_building(model_type: str, setting: str) -> None:
    assert setting in refused({"model_type": model_type, setting: 10**9})


def test_remote_code_is_never_fetched_or_run(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    code = f"open({str(trace)!r}, 'w').close()\n"
    for name in ("configuration_evil.py", "modeling_evil.py", "__init__.py"):
        (tmp_path / name).write_text(code)
    auto_map = {"AutoConfig": "configuration_evil.Config", "AutoModelForCausalLM": "modeling_evil.Model"}
    config = {"model_type": "evil", "architectures": ["EvilModel"], "auto_map": auto_map}
    written(tmp_path, json.dumps(config))
    assert "auto_map" in refused(tmp_path)
    native = {**LLAMA, "auto_map": auto_map}
    written(tmp_path, json.dumps(native))
    assert load_model(tmp_path).total == load_model(LLAMA).total
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"model_type": "llama", "hid', "not complete JSON"),
        (b'{"model_type": "llama"', "not complete JSON"),
        (b"", "not complete JSON"),
        (b"model_type: llama", "is not JSON"),
        (b"\x80\xff\x00", "not text"),
        (b"[1, 2]", "must be a JSON object"),
        (b'"llama"', "must be a JSON object"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"model_type": "llama", "hidden_size": ' + b"9" * 5_000 + b"}", "not readable"),
        (b"{}", "no model_type"),
    ],
    ids=["cut in a name", "cut", "empty", "yaml", "binary", "list", "string", "deep", "digits", "object"],
)
def test_files_that_are_no_config(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(written(tmp_path, content))


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("the file was read"))
    assert "200,000,000 bytes" in refused(path)


def test_a_huge_text_is_not_parsed() -> None:
    with pytest.raises(ValueError, match="the limit is 5,000,000"):
        parse_json("[" * 5_000_001)


def test_a_folder_without_a_config(tmp_path: Path) -> None:
    assert "cannot read" in refused(tmp_path)


@pytest.mark.parametrize(
    "source", ["", "  ", "\0", "x" * 10_000, "a/b/c", 5, None, b"gpt2", [1], "/no/such/config.json"]
)
def test_what_is_no_source_at_all(source: Any) -> None:
    assert refused(source)


@pytest.mark.parametrize("typed", ["lama-3.1-8b", "meta-lama/Llama-3.1-8B"])
def test_the_nearest_names_are_offered(typed: str) -> None:
    assert "meta-llama/Llama-3.1-8B" in refused(typed)

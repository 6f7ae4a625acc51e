"""Existing adapter_config.json files: the count of peft itself, an explanation, and clear refusals."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from peftcalc import DoRA, LoRA, read_adapter_config

BASE: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
}
MINIMAL = {"peft_type": "LORA", "r": 4, "lora_alpha": 12, "target_modules": ["q_proj"]}

METHODS = [
    LoRA(rank=4, alpha=12),
    DoRA(rank=8, alpha=4, targets=["q_proj", "down_proj"]),
    LoRA(rank=4, alpha=12, rslora=True, bias="all", modules_to_save=("lm_head",), rank_pattern={"v_proj": 9}),
    LoRA(rank=4, alpha=12, targets=["q_proj", "v_proj"], layers_to_transform=(0, 2), exclude=["v_proj"]),
    LoRA(rank=4, alpha=12, targets=r".*\.(q|k)_proj"),
    LoRA(rank=4, alpha=12, targets=(), target_parameters=("q_proj.weight",)),
]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_file_that_peft_wrote_is_counted_as_peft_counts_it(tmp_path: Path, method: LoRA) -> None:
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft says that it cannot look up the base model's config
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**BASE))
        adapted = get_peft_model(model, method.to_peft("CAUSAL_LM"))  # pyright: ignore[reportArgumentType]
        adapted.save_pretrained(tmp_path)
    trainable, total = adapted.get_nb_trainable_parameters()
    for source in (tmp_path, tmp_path / "adapter_config.json", str(tmp_path)):
        report = read_adapter_config(source, base=BASE)
        assert (report.trainable, report.total) == (trainable, total)
        assert report.percent == pytest.approx(100 * trainable / total, rel=1e-12)
        assert report.method.scaling == pytest.approx(method.scaling)
        assert report.task_type == "CAUSAL_LM"


def test_the_explanation_says_what_is_trained() -> None:
    config = {**MINIMAL, "use_dora": True, "modules_to_save": ["lm_head"], "bias": "none"}
    report = read_adapter_config(config, base=BASE)
    text = " ".join(report.explanation)
    for words in ("DoRA", "r = 4, α = 12", "α/r = 3", "q_proj (linear): 3 adapted", "lm_head", f"{report.trainable:,}"):
        assert words in text


def test_a_classification_head_is_explained() -> None:
    base = {**BASE, "architectures": ["LlamaForSequenceClassification"]}
    report = read_adapter_config({**MINIMAL, "task_type": "SEQ_CLS"}, base=base)
    assert any("task type SEQ_CLS adds: score" in sentence for sentence in report.explanation)


def test_the_base_model_of_the_file_is_used() -> None:
    report = read_adapter_config({**MINIMAL, "base_model_name_or_path": "meta-llama/Llama-3.2-1B"})
    assert (report.base, report.trainable) == ("meta-llama/Llama-3.2-1B", 16 * 4 * (2048 + 2048))


def test_without_targets_peft_chooses_its_own() -> None:
    from peft import LoraConfig, get_peft_model

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is being replaced
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**BASE))
        adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=12), low_cpu_mem_usage=True)
    report = read_adapter_config({**MINIMAL, "target_modules": None}, base=BASE)
    assert (report.trainable, report.total) == adapted.get_nb_trainable_parameters()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type must be LORA"),
        ({"peft_type": None}, "peft_type must be LORA"),
        ({"r": 0}, "r must be between 1"),
        ({"r": "8"}, "r must be a whole number"),
        ({"lora_alpha": -1}, "alpha must be a positive number"),
        ({"target_modules": ["q_prj"]}, "nearest: q_proj"),
        ({"modules_to_save": "lm_head"}, "modules_to_save must be a list"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern must map"),
        ({"kasa_config": {"beta": 1}}, "KaSA"),
    ],
)
def test_files_that_cannot_be_counted(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        read_adapter_config({**MINIMAL, **change}, base=BASE)
    assert words in str(caught.value)


def test_a_start_is_read_and_said() -> None:
    report = read_adapter_config({**MINIMAL, "init_lora_weights": "pissa_niter_16"}, base=BASE)
    assert report.method.init == "pissa_niter_16"
    assert "starts with a part of the weights" in " ".join(report.explanation)
    assert read_adapter_config({**MINIMAL, "init_lora_weights": "orthogonal"}, base=BASE).method.init == "default"


def test_sources_that_are_no_adapter_config(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"')
    for source, words in [
        (tmp_path, "not complete JSON"),
        (tmp_path / "missing", "cannot read"),
        ("", "a path or a dictionary"),
        (5, "a path or a dictionary"),
        (MINIMAL, "base_model_name_or_path"),
    ]:
        with pytest.raises(ValueError, match=words):
            read_adapter_config(source)  # pyright: ignore[reportArgumentType]


def test_the_json_of_a_config_can_be_passed_on() -> None:
    assert read_adapter_config(json.loads(json.dumps(MINIMAL)), base=BASE).method == LoRA(
        rank=4, alpha=12, targets=["q_proj"]
    )


def test_a_models_config_in_place_of_an_adapters_is_told_what_it_is() -> None:
    with pytest.raises(ValueError, match=r"config.json of a model \(llama\)"):
        read_adapter_config(BASE)


@pytest.mark.parametrize("name", ["modules_to_save", "target_parameters", "layers_pattern"])
@pytest.mark.parametrize("value", [-1, 1.5, True, {"a": 1}, [1]])
def test_a_list_of_names_that_is_none(name, value):
    config = {"peft_type": "LORA", "r": 4, "target_modules": ["c_attn"], "layers_to_transform": [0], name: value}
    if name == "layers_pattern" and isinstance(value, dict):
        return  # its keys are names
    with pytest.raises(ValueError, match=f"{name} must"):
        read_adapter_config(config, base={"model_type": "gpt2"})

"""The Axolotl file has keys and types of its schema, and is read back as what was asked for.

`tests/data/axolotl_schema.json` records the schema's fields; where Axolotl itself can be imported, it judges too.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from peftcalc.methods import METHODS, DoRA, Full, LoRA, Method, QDoRA, QLoRA
from peftcalc.recipes.axolotl_yaml import NO_KEY, SCHEMA, axolotl_yaml
from peftcalc.recipes.training_script import OPTIMIZERS, TrainingSettings

FACTS = json.loads((Path(__file__).parents[1] / "data/axolotl_schema.json").read_text())
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "null": type(None)}
SETTINGS = [
    TrainingSettings(),
    TrainingSettings(dtype="float16", attention="eager", optimizer="sgd", checkpointing=True, learning_rate=1e-7),
    TrainingSettings(dtype="bfloat16", attention="flash", optimizer="adamw_8bit", accumulation=4, batch=8, seed=3),
]
CHOSEN = [
    Full(),
    LoRA(rank=4, targets=["q_proj"], layers_to_transform=[0, 1]),
    DoRA(rank=4, targets=r".*\.q_proj", dropout=0.05),
    QLoRA(quant="fp4", double_quant=False),
    QDoRA(rank=8, alpha=20, rslora=True, modules_to_save=["lm_head"], rank_pattern={"q_proj": 4}),
]


def faults(values: dict[str, Any], fields: dict[str, Any]) -> list[str]:
    """Keys that the schema has not, values of a type that it does not take, required keys that are missing."""
    found = [f"{key} is missing" for key, field in fields.items() if field.get("required") and key not in values]
    for key, value in values.items():
        if key not in fields:
            found.append(f"{key} is unknown")
        elif not any(_is(value, kind) for kind in fields[key]["types"]):
            found.append(f"{key} is {value!r}")
    return found


def _is(value: Any, kind: str) -> bool:
    if kind.startswith('"'):
        return value == json.loads(kind)
    expected = TYPES.get(kind)
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return expected is not None and isinstance(value, expected) and (expected is bool or not isinstance(value, bool))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("method", CHOSEN, ids=lambda method: method.name)
def test_the_file_fits_the_schema(method: Method, settings: TrainingSettings):
    values = yaml.safe_load(axolotl_yaml(method, None, settings))
    assert faults(values, FACTS["config"]) == []
    assert [faults(dataset, FACTS["dataset"]) for dataset in values["datasets"]] == [[]]
    if importlib.util.find_spec("axolotl"):
        schema = importlib.import_module("axolotl.utils.schemas.config")
        schema.AxolotlInputConfig(**values)


def test_a_fault_would_be_found():
    assert faults({"base_model": "a", "learning_rate": 1e-4, "lora_rank": 4}, FACTS["config"]) == [
        "lora_rank is unknown"
    ]
    assert "micro_batch_size is '1'" in faults({"micro_batch_size": "1"}, FACTS["config"])
    assert "base_model is missing" in faults({}, FACTS["config"])


def test_it_is_read_back_as_what_was_asked_for():
    settings = TrainingSettings(batch=2, sequence=512, accumulation=8, checkpointing=True, dtype="bfloat16", seed=5)
    values = yaml.safe_load(axolotl_yaml(QDoRA(rank=8, alpha=20), "meta-llama/Llama-3.1-8B", settings))
    expected = {
        "base_model": "meta-llama/Llama-3.1-8B",
        "adapter": "qlora",
        "load_in_4bit": True,
        "lora_r": 8,
        "lora_alpha": 20,
        "lora_target_linear": True,
        "peft_use_dora": True,
        "micro_batch_size": 2,
        "sequence_len": 512,
        "gradient_accumulation_steps": 8,
        "gradient_checkpointing": True,
        "bf16": True,
        "fp16": False,
        "seed": 5,
        "learning_rate": 2e-4,
    }
    assert {key: values[key] for key in expected} == expected
    assert SCHEMA in axolotl_yaml(QDoRA())
    assert "not run here" in axolotl_yaml(QDoRA())


OTHER: dict[str, Any] = {
    "rank": 4,
    "alpha": 20,
    "dropout": 0.25,
    "targets": ["q_proj"],
    "rslora": True,
    "bias": "all",
    "lora_bias": True,
    "modules_to_save": ["lm_head"],
    "exclude": ["k_proj"],
    "rank_pattern": {"q_proj": 2},
    "alpha_pattern": {"q_proj": 2.0},
    "layers_to_transform": [1],
    "layers_pattern": "layers",
    "target_parameters": ["experts.down_proj"],
    "init": "gaussian",
    "freeze_a": True,
    "lr_ratio": 16.0,
    "quant": "fp4",
    "double_quant": False,
}


def test_whatever_a_method_says_is_written_or_refused():
    """A file that says less would train something else."""
    assert list(OTHER) == [field.name for field in fields(QDoRA)]
    layers: dict[str, Any] = {"layers_to_transform": [1]}
    for name, value in OTHER.items():
        beside = layers if name == "layers_pattern" else {}
        plain, other = QDoRA(**beside), QDoRA(**beside, **{name: value})
        if name in (*NO_KEY, "bias"):
            with pytest.raises(ValueError, match=f"no key for {name}"):
                axolotl_yaml(other)
            continue
        written = yaml.safe_load(axolotl_yaml(other))
        assert written != yaml.safe_load(axolotl_yaml(plain)), name
        assert faults(written, FACTS["config"]) == []
    given = yaml.safe_load(axolotl_yaml(LoRA(init="gaussian", layers_pattern=["h", "layers"], **layers)))
    assert (given["peft_init_lora_weights"], given["peft_layers_pattern"]) == ("gaussian", ["h", "layers"])
    for init in ("pissa", "pissa_niter_4", "olora", "loftq"):
        with pytest.raises(ValueError, match=f"changes the base, '{init}'"):
            axolotl_yaml(LoRA(init=init))
    assert "peft_layers_pattern" not in axolotl_yaml(LoRA(layers_pattern="h")), "Axolotl refuses it without layers"


@pytest.mark.parametrize(
    "name", ["a\x85b", "\u2028x", "a\x7fb", "\U000e0001", "\U0001f600", "a\nb", 'a"b', "é", "a\\\\b", "\t"]
)
def test_any_name_is_read_back(name: str):
    method = LoRA(targets=["q_proj", f"{name}c"], modules_to_save=(f"{name}c",), rank_pattern={f"{name}c": 4})
    values = yaml.safe_load(axolotl_yaml(method))
    assert values["lora_target_modules"] == ["q_proj", f"{name}c"]
    assert values["lora_modules_to_save"] == [f"{name}c"]
    assert values["lora_rank_pattern"] == {f"{name}c": 4}


@pytest.mark.parametrize("rate", [1e-7, 2e-5, 5e-5, 1.5e-4, 0.1])
def test_a_small_learning_rate_stays_a_number(rate):
    values = yaml.safe_load(axolotl_yaml(LoRA(), None, TrainingSettings(learning_rate=rate)))
    assert values["learning_rate"] == rate


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_and_optimizer_has_a_file(name, optimizer):
    values = yaml.safe_load(axolotl_yaml(METHODS[name](), None, TrainingSettings(optimizer=optimizer)))
    assert values["optimizer"] == OPTIMIZERS[optimizer]
    assert ("adapter" in values) == METHODS[name].has_adapter


@pytest.mark.parametrize(
    ("method", "model", "words"),
    [
        (LoRA(), "google-t5/t5-small", "causal language models"),
        (LoRA(), "google-bert/bert-base-uncased", "causal language models"),
        (LoRA(bias="all"), None, "no key for bias"),
        (LoRA(alpha=1.5), None, "whole number"),
        (LoRA(exclude=["q_proj"]), None, "no key for exclude"),
    ],
)
def test_what_axolotl_cannot_do_is_said(method, model, words):
    with pytest.raises(ValueError, match=words):
        axolotl_yaml(method, model)

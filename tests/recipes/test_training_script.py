"""The training script runs as it is, on a small model of every architecture, and prints what the page counted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from exported import ROOT, counted, printed
from tiny_models import save_tiny_model

from peftcalc.advice.cards import REPEAT_HEADS
from peftcalc.counting.count import count
from peftcalc.memory.options import CHOICES
from peftcalc.methods import DoRA, Full, LoRA, Method, QDoRA, QLoRA
from peftcalc.models.catalogue import catalogue, catalogue_shapes
from peftcalc.recipes.python_code import SHARED_HEADS
from peftcalc.recipes.training_script import (
    BITSANDBYTES,
    OPTIMIZERS,
    TESTED_WITH,
    TrainingSettings,
    training_script,
)

SMALLEST = catalogue().sort_values("parameters").drop_duplicates("architecture")
ARCHITECTURES = {str(row["architecture"]): str(name) for name, row in SMALLEST.iterrows()}
EXPERTS = {
    *("DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "MixtralForCausalLM"),
    *("OlmoeForCausalLM", "Qwen3MoeForCausalLM"),
}
SHORT = {"batch": 2, "sequence": 64, "epochs": 1}


def run(folder: Path, architecture: str, method: Method, settings: TrainingSettings) -> str:
    """What the script prints that leaves for the real model, with a small one of its class in its place."""
    real = catalogue_shapes(ARCHITECTURES[architecture])
    model = save_tiny_model(folder / "small", dict(real.config), architecture)
    text = training_script(method, real, settings)
    replaced, places = re.subn(r'^MODEL = ".*?"', f'MODEL = "{model}"', text, flags=re.MULTILINE)
    assert places == 1
    out = printed(replaced, folder)
    expected = count(str(model), method)
    if isinstance(method, Full) or settings.task_type == "auto":
        assert counted(out) == (expected.trainable, expected.total)
    assert re.search(r"training loss [\d.]+ after \d+ steps, saved in", out)
    saved = folder / f"{method.name}-output"
    assert (saved / ("adapter_config.json" if method.has_adapter else "config.json")).exists()
    return out


@pytest.mark.parametrize(
    ("architecture", "method", "dtype"),
    [
        ("LlamaForCausalLM", QDoRA(rank=2, alpha=6), "float16"),
        ("T5ForConditionalGeneration", LoRA(rank=2, alpha=6), "bfloat16"),
        ("BertForMaskedLM", Full(), "float16"),
        ("ViTForImageClassification", DoRA(rank=2, alpha=6), None),
    ],
)
def test_the_script_runs_as_it_is(tmp_path, architecture, method, dtype):
    run(tmp_path, architecture, method, TrainingSettings(dtype=dtype, checkpointing=True, **SHORT))


@pytest.mark.slow
@pytest.mark.parametrize("method", [Full(), LoRA(rank=2, alpha=6), DoRA(rank=2, alpha=6), QLoRA(rank=2, alpha=6)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_script_runs_for_every_architecture(tmp_path, architecture, method):
    if method.decomposed and architecture in EXPERTS:  # peft adapts stacks of experts without DoRA
        with pytest.raises(ValueError, match="DoRA"):
            count(ARCHITECTURES[architecture], method)
        return
    run(tmp_path, architecture, method, TrainingSettings(dtype="bfloat16", **SHORT))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "LlamaForCausalLM"])
@pytest.mark.parametrize("task", ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"])
def test_the_script_trains_the_class_of_the_task(tmp_path, architecture, task):
    names = ["query", "value"] if architecture.startswith("Bert") else ["q_proj", "v_proj"]
    run(tmp_path, architecture, LoRA(rank=2, alpha=6, targets=names), TrainingSettings(task_type=task, **SHORT))


def test_data_may_be_a_file(tmp_path):
    real = catalogue_shapes(ARCHITECTURES["LlamaForCausalLM"])
    model = save_tiny_model(tmp_path / "small", dict(real.config), "LlamaForCausalLM")
    text = training_script(LoRA(rank=2, alpha=6), str(model), TrainingSettings(**SHORT))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"line {n}"}) + "\n" for n in range(6)))
    start, end = text.index("DATA = ["), text.index("]\n", text.index("DATA = [")) + 2
    out = printed(text[:start] + 'DATA = "rows.jsonl"\n' + text[end:], tmp_path)
    assert "after 3 steps" in out  # six lines, two at a time


def test_every_setting_stands_in_the_script():
    settings = TrainingSettings(
        batch=3,
        sequence=77,
        accumulation=5,
        checkpointing=True,
        optimizer="paged_adamw_8bit",
        attention="eager",
        dtype="float16",
        learning_rate=3e-5,
        epochs=7,
        seed=11,
    )
    text = training_script(LoRA(rank=4), None, settings)
    for line in (
        "per_device_train_batch_size=3,",
        "SEQUENCE = 77",
        "gradient_accumulation_steps=5,",
        "gradient_checkpointing=True,",
        'optim="paged_adamw_8bit",',
        'attn_implementation="eager"',
        "DTYPE = torch.float16",
        "learning_rate=3e-05,",
        "num_train_epochs=7,",
        "set_seed(11)",
        "seed=11,",
    ):
        assert line in text
    assert "gradient_checkpointing" not in training_script(LoRA(rank=4))


LLAMA_8B = "meta-llama/Llama-3.1-8B"
ON_AN_OLD_CARD = "if torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0):"


@pytest.mark.parametrize(
    ("model", "settings", "condition"),
    [
        (LLAMA_8B, {}, "if OLD_CARD:"),
        (
            LLAMA_8B,
            {"dtype": "float16"},
            ON_AN_OLD_CARD,
        ),
        (LLAMA_8B, {"dtype": "bfloat16"}, None),
        (LLAMA_8B, {"attention": "eager"}, None),
        ("openai-community/gpt2", {}, None),
    ],
)
def test_shared_heads_are_repeated_on_old_cards(model, settings, condition):
    text = training_script(LoRA(rank=4), model, TrainingSettings(**settings))
    found = re.search(rf"^(if .*:)  # .*\n    {re.escape(REPEAT_HEADS)}$", text, flags=re.MULTILINE)
    assert (found and found[1]) == condition
    assert (SHARED_HEADS in text) == (condition is not None)
    if condition:
        assert text.index(SHARED_HEADS) < text.index(REPEAT_HEADS) < text.index(".from_pretrained(")


@pytest.mark.parametrize("repeated", [False, True])
def test_transformers_repeats_keys_and_values_where_it_is_told_to(monkeypatch, repeated):
    """The line of the script, run: torch's attention is then asked with as many heads of keys as of queries."""
    import torch
    from transformers.integrations import sdpa_attention

    monkeypatch.setattr(sdpa_attention, "use_gqa_in_sdpa", sdpa_attention.use_gqa_in_sdpa)  # set back afterwards
    if repeated:
        exec(REPEAT_HEADS, {"sdpa_attention": sdpa_attention})
    asked: dict[str, object] = {}

    def attention(query, key, value, enable_gqa=False, **_):
        asked.update(heads=(key.shape[1], value.shape[1]), enable_gqa=enable_gqa)
        return torch.zeros_like(query)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)
    layer = torch.nn.Module()
    layer.num_key_value_groups = 4  # type: ignore[assignment]
    query, key = torch.zeros(1, 8, 3, 16), torch.zeros(1, 2, 3, 16)
    sdpa_attention.sdpa_attention_forward(layer, query, key, key, None)
    assert asked == ({"heads": (8, 8), "enable_gqa": False} if repeated else {"heads": (2, 2), "enable_gqa": True})


def test_model_and_data_are_the_first_two_constants():
    constants = re.findall(r"^([A-Z]+) = ", training_script(LoRA(rank=4)), flags=re.MULTILINE)
    assert constants[:2] == ["MODEL", "DATA"]


def test_the_releases_named_are_those_that_the_tests_run_with():
    pinned = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text().split() if "==" in line)
    assert {name: pinned[name] for name in TESTED_WITH} == TESTED_WITH
    assert pinned["bitsandbytes"] == BITSANDBYTES
    assert f"bitsandbytes {BITSANDBYTES}" in training_script(QLoRA(rank=4))


def test_the_trainer_knows_every_optimizer():
    from transformers.training_args import OptimizerNames

    assert set(OPTIMIZERS) == set(CHOICES["optimizer"]) - {"sgd_momentum"}
    assert set(OPTIMIZERS.values()) <= {str(name.value) for name in OptimizerNames}


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"sequence": -1}, {"optimizer": "adam"}, {"dtype": "int8"}, {"learning_rate": 0}]
)
def test_a_setting_out_of_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingSettings(**wrong)


def test_a_model_with_learned_positions_gets_no_more_tokens_than_it_has():
    long = TrainingSettings(sequence=4096)
    assert "SEQUENCE = 512  #" in training_script(LoRA(rank=4), "google-bert/bert-base-uncased", long)
    assert "SEQUENCE = 512  #" in training_script(LoRA(rank=4), "FacebookAI/roberta-base", long)
    assert "SEQUENCE = 4096\n" in training_script(LoRA(rank=4), "meta-llama/Llama-3.1-8B", long)

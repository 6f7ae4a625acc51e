"""A task's class is counted as peft counts the one its user loads: every architecture of the catalogue × task × method.

The oracle is `AutoModelFor…` of the same configuration under `get_peft_model`, on the meta device. Blocks beyond the
second are left out, since they repeat; α ≠ r. The quick suite tries a few architectures, `make test-all` all of them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import transformers as tf

from peftcalc import DoRA, LoRA, count, read_adapter_config
from peftcalc.models.catalogue import catalogue_ids, catalogue_shapes
from peftcalc.models.load import load_model

AUTO: dict[str, tuple[Any, ...]] = {
    "CAUSAL_LM": (tf.AutoModelForCausalLM,),
    "SEQ_2_SEQ_LM": (tf.AutoModelForSeq2SeqLM,),
    "SEQ_CLS": (
        tf.AutoModelForSequenceClassification,
        tf.AutoModelForImageClassification,
        tf.AutoModelForAudioClassification,
    ),
    "TOKEN_CLS": (tf.AutoModelForTokenClassification,),
    "QUESTION_ANS": (tf.AutoModelForQuestionAnswering,),
    "FEATURE_EXTRACTION": (tf.AutoModel,),
}
LABELS = {"SEQ_CLS": 5, "TOKEN_CLS": 7, "QUESTION_ANS": 2}
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers", "encoder_layers")
QUICK = ("bert", "llama", "t5", "vit", "gpt2", "whisper")
METHODS = {"LoRA": LoRA(rank=4, alpha=12), "DoRA": DoRA(rank=4, alpha=12)}


def shallow(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with two blocks; GPT-Neo keeps its own number, which a list of kinds repeats."""
    if "attention_types" in config:
        return config
    changed = {name: 2 if name in (*LAYERS, "decoder_layers") else value for name, value in config.items()}
    return {name: shallow(value) if isinstance(value, dict) else value for name, value in changed.items()}


@cache
def architectures() -> dict[str, dict[str, Any]]:
    """Every class of the catalogue, with the configuration of one model of it."""
    found: dict[str, dict[str, Any]] = {}
    for name in catalogue_ids():
        shapes = catalogue_shapes(name)
        found.setdefault(f"{shapes.config['model_type']} {shapes.architecture}", shallow(shapes.config))
    return found


ARCHITECTURES = tuple(architectures())
FEW = [next(name for name in ARCHITECTURES if name.split()[0] == model_type) for model_type in QUICK]


def loaded(config: dict[str, Any], task_type: str) -> Any:
    """The model that a user of peft loads; the class of the configuration where no `AutoModelFor…` has one."""
    made = tf.CONFIG_MAPPING[config["model_type"]].from_dict(json.loads(json.dumps(config)))
    if task_type in LABELS:
        made.num_labels = LABELS[task_type]
    own = config["architectures"][0]
    for auto in AUTO[task_type]:
        if type(made) in auto._model_mapping:
            return auto.from_config(made)
    return getattr(tf, own)(made)


def oracle(config: dict[str, Any], task_type: str, method: LoRA) -> tuple[int, int] | None:
    """(trainable, all) as peft counts them, None when peft refuses."""
    from peft import get_peft_model

    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # advice about merging and tied weights; not what is tested
        try:
            model = loaded(config, task_type)
            adapted = get_peft_model(model, method.to_peft(task_type), low_cpu_mem_usage=True)  # pyright: ignore[reportArgumentType]
        except (ValueError, AttributeError, TypeError):  # an AttributeError: the class cannot generate text
            return None
        return adapted.get_nb_trainable_parameters()


def ours(config: dict[str, Any], task_type: str, method: LoRA) -> tuple[int, int] | None:
    try:
        result = count(config, method, task_type, LABELS.get(task_type))
    except ValueError:
        return None
    return result.trainable, result.total


@pytest.mark.parametrize("task_type", AUTO)
@pytest.mark.parametrize("name", FEW)
def test_a_task_is_counted_as_peft_counts_it(name: str, task_type: str) -> None:
    config, method = architectures()[name], METHODS["LoRA"]
    assert ours(config, task_type, method) == oracle(config, task_type, method)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task_type", AUTO)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_of_the_catalogue(name: str, task_type: str, method: str) -> None:
    config = architectures()[name]
    assert ours(config, task_type, METHODS[method]) == oracle(config, task_type, METHODS[method])


def test_the_oracle_refuses_only_some() -> None:
    """Were peft to refuse everything, the table would prove nothing."""
    config = architectures()["vit ViTForImageClassification"]
    assert oracle(config, "CAUSAL_LM", METHODS["LoRA"]) is None
    assert oracle(config, "SEQ_CLS", METHODS["LoRA"]) is not None


# Published and worked numbers ----------------------------------------------------------------------------------------

QUERY_VALUE = ("query", "value")


@pytest.mark.parametrize(
    ("model", "task_type", "method", "labels", "trainable", "total"),
    [
        ("roberta-large", "SEQ_CLS", LoRA(rank=8, targets=QUERY_VALUE), None, 1_838_082, 357_199_876),
        ("bert-base-uncased", "SEQ_CLS", LoRA(rank=8, targets=QUERY_VALUE), None, 296_450, 109_780_228),
        ("bert-base-uncased", "QUESTION_ANS", LoRA(rank=8, targets=QUERY_VALUE), None, 296_450, 109_189_636),
        ("Llama-3.1-8B", "SEQ_CLS", LoRA(rank=16, targets=("q_proj", "v_proj")), None, 6_823_936, 7_511_756_800),
        ("roberta-large", "TOKEN_CLS", LoRA(rank=16, targets=QUERY_VALUE, bias="all"), 11, 1_855_499, 355_905_558),
        ("distilbert-base-uncased", "SEQ_CLS", LoRA(rank=8, targets=("q_lin", "v_lin")), 2, 739_586, 67_694_596),
    ],
)
def test_catalogue_models_with_a_head(
    model: str, task_type: str, method: LoRA, labels: int | None, trainable: int, total: int
) -> None:
    result = count(model, method, task_type, num_labels=labels)
    assert (result.trainable, result.total) == (trainable, total)
    said = " ".join(result.notes)
    assert ("2 labels" in said) == (labels is None and task_type == "SEQ_CLS")
    assert result.architecture in said  # another class than the catalogue shows
    file = {"peft_type": "LORA", "r": method.rank, "target_modules": list(method.targets), "bias": method.bias}
    read = read_adapter_config({**file, "task_type": task_type, "base_model_name_or_path": model}, num_labels=labels)
    assert (read.trainable, read.total) == (trainable, total)


TINY: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
BERT: dict[str, Any] = {"model_type": "bert", **TINY, "num_attention_heads": 4, "architectures": ["BertForMaskedLM"]}


def head(config: dict[str, Any], **given: Any) -> int:
    """Outputs of the classifier that is trained in full: (32 + 1) parameters each."""
    result = count(config, LoRA(rank=2), "SEQ_CLS", **given)
    return sum(part.trainable for part in result.parts if part.how == "copy") // 33


def test_labels_are_the_argument_else_the_configs_else_two() -> None:
    named = {**BERT, "id2label": {str(i): f"label {i}" for i in range(9)}}
    assert [head(BERT), head(named), head({**BERT, "num_labels": 4}), head(named, num_labels=3)] == [2, 9, 4, 3]
    assert head(BERT, num_labels=1) == 1


def test_labels_that_nobody_gave_are_said_once_and_only_then() -> None:
    own = {**BERT, "architectures": ["BertForSequenceClassification"]}

    def said(**given: Any) -> int:
        return sum("2 labels" in note for note in count(own, LoRA(rank=2), **given).notes)

    assert said() == said(task_type="SEQ_CLS") == 1
    assert said(task_type="SEQ_CLS", num_labels=3) == said(num_labels=3) == said(task_type="FEATURE_EXTRACTION") == 0


@pytest.mark.parametrize("labels", [0, -1, 1.5, 10**9])
def test_a_number_of_labels_that_no_head_has(labels: Any) -> None:
    with pytest.raises(ValueError, match="num_labels must be"):
        count(BERT, LoRA(rank=2), "SEQ_CLS", num_labels=labels)


def test_an_unknown_task_type_is_refused_as_peft_refuses_it() -> None:
    with pytest.raises(ValueError, match=r"task_type must be one of CAUSAL_LM, .*nearest: SEQ_CLS"):
        count(BERT, LoRA(rank=2), "seq_cls")


def test_a_task_that_writes_text_is_refused_where_peft_refuses_it() -> None:
    with pytest.raises(ValueError, match="peft refuses SEQ_2_SEQ_LM on BertForMaskedLM"):
        count(BERT, LoRA(rank=2), "SEQ_2_SEQ_LM")


def test_a_record_with_its_head_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from peftcalc.models import tasks

    shapes = tasks.task_shapes(load_model(BERT), "SEQ_CLS", 6)
    monkeypatch.setattr(tasks, "_built", lambda *_: pytest.fail("the model was built again"))
    assert count(shapes, LoRA(rank=2), "SEQ_CLS").base == shapes.total
    assert not any("2 labels" in note for note in count(shapes, LoRA(rank=2), "SEQ_CLS").notes)


def test_a_head_that_peft_does_not_know_by_name_is_said_to_stay_frozen() -> None:
    notes = " ".join(count(PARTS["t5"](), LoRA(rank=2), "SEQ_CLS").notes)
    assert "T5ForSequenceClassification has no module of that name" in notes
    assert "stays frozen" not in " ".join(count(BERT, LoRA(rank=2), "SEQ_CLS").notes)


def test_a_module_is_counted_as_it_was_given() -> None:
    with torch.device("meta"):
        module = tf.BertForMaskedLM(tf.BertConfig.from_dict(dict(BERT)))
    result = count(module, LoRA(rank=2), "SEQ_CLS", num_labels=7)
    assert (result.architecture, result.base) == ("BertForMaskedLM", module.num_parameters())


def test_labels_without_a_task_give_an_image_model_its_head() -> None:
    method = LoRA(rank=16, targets=("q_proj", "v_proj"), modules_to_save=("classifier",))
    result = count("google/vit-base-patch16-224-in21k", method, num_labels=101)
    assert result.architecture == "ViTForImageClassification"
    assert sum(part.trainable for part in result.parts if part.how == "copy") == 101 * (768 + 1)


@pytest.mark.parametrize("labels", [12, None])
def test_the_class_that_an_adapters_file_names_is_counted(labels: int | None) -> None:
    """Without a task type peft writes the class of the base into `auto_mapping`."""
    file = {
        "peft_type": "LORA",
        "target_modules": ["q_proj"],
        "modules_to_save": ["classifier"],
        "auto_mapping": {"base_model_class": "Wav2Vec2ForSequenceClassification", "parent_library": "transformers"},
    }
    base = {**BERT, "model_type": "wav2vec2", "architectures": ["Wav2Vec2Model"], "classifier_proj_size": 16}
    report = read_adapter_config(file, base, num_labels=labels)
    assert report.count.architecture == "Wav2Vec2ForSequenceClassification"
    assert report.count.parts[-1].trainable == (labels or 2) * (16 + 1)
    assert any("2 labels" in note for note in report.count.notes) == (labels is None)


CLIP = {name: value for name, value in BERT.items() if name not in ("model_type", "architectures")}
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "llava": lambda: {
        "model_type": "llava",
        "text_config": {**BERT, "model_type": "llama", "num_key_value_heads": 4, "architectures": None},
        "vision_config": {**TINY, "model_type": "clip_vision_model", "num_attention_heads": 4},
    },
    "t5": lambda: {"model_type": "t5", "d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 64},
    "whisper": lambda: {
        "model_type": "whisper",
        "d_model": 48,
        "encoder_layers": 1,
        "decoder_layers": 2,
    },
    "clip": lambda: {"model_type": "clip", "text_config": CLIP, "vision_config": CLIP},
    "bert": lambda: BERT,
}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("llava", {"vision_tower", "multi_modal_projector", "language_model"}),
        ("t5", {"encoder", "decoder"}),
        ("whisper", {"encoder", "decoder"}),
        ("clip", {"text_model", "vision_model", "text_projection", "visual_projection"}),
        ("bert", {""}),
    ],
)
def test_a_model_of_several_parts_is_counted_by_part(name: str, parts: set[str]) -> None:
    result = count(PARTS[name](), LoRA(rank=2, alpha=6))
    table = result.by_kind
    assert set(table["part"]) == parts
    assert table["trainable"].sum() == result.trainable
    assert table["percent"].sum() == pytest.approx(100, rel=1e-12)

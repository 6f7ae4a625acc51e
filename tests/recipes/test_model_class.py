"""The class that a script loads is the one that was counted, for every class that transformers registers."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from peftcalc import LoRA, count
from peftcalc.models.catalogue import catalogue_ids, catalogue_shapes
from peftcalc.models.load import load_model
from peftcalc.recipes.model_class import auto_class, model_class
from peftcalc.recipes.model_source import literal
from peftcalc.recipes.python_code import method_code

REGISTERED = {
    "AutoModel": "MODEL_MAPPING_NAMES",
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "AutoModelForImageClassification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForImageTextToText": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "AutoModelForMaskedLM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "AutoModelForSeq2SeqLM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "AutoModelForSpeechSeq2Seq": "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "AutoModelForTokenClassification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
}


def classes(entry: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else tuple(entry)


def test_an_auto_class_loads_the_class_it_stands_for_wherever_it_is_registered():
    from transformers.models.auto import modeling_auto

    tables = [name for name in dir(modeling_auto) if name.endswith("MAPPING_NAMES") and name != "CONFIG_MAPPING_NAMES"]
    pairs = {
        (kind, name)
        for table in tables
        for kind, entry in getattr(modeling_auto, table).items()
        for name in classes(entry)
    }
    assert len(pairs) > 1000
    wrong = []
    for kind, name in pairs:
        auto = auto_class(name)
        if auto != name and name not in classes(getattr(modeling_auto, REGISTERED[auto]).get(kind, ())):
            wrong.append((kind, name, auto))
    assert not wrong


def test_every_model_of_the_catalogue_is_loaded_as_what_was_counted():
    from transformers.models.auto import modeling_auto

    for name in catalogue_ids():
        shapes = catalogue_shapes(name)
        loaded = model_class(shapes).name
        if loaded != shapes.architecture:
            registered = getattr(modeling_auto, REGISTERED[loaded])[shapes.config["model_type"]]
            assert registered == shapes.architecture, name


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("SEQ_CLS", "AutoModelForSequenceClassification"),
        ("TOKEN_CLS", "AutoModelForTokenClassification"),
        ("QUESTION_ANS", "AutoModelForQuestionAnswering"),
        ("CAUSAL_LM", "AutoModelForCausalLM"),
        ("FEATURE_EXTRACTION", "AutoModel"),
        ("auto", "AutoModelForMaskedLM"),
    ],
)
def test_a_task_type_names_the_class_that_its_user_loads(task, name):
    assert model_class(load_model("google-bert/bert-base-uncased"), task).name == name


def test_labels_are_those_asked_for_else_of_the_configuration_else_two():
    bert = {"model_type": "bert", "num_hidden_layers": 1}
    named = {**bert, "id2label": {"0": "a", "1": "b", "2": "c"}}
    assert model_class(load_model(bert), "SEQ_CLS", 7).keywords == {"num_labels": 7}
    assert model_class(load_model(named), "SEQ_CLS").keywords == {"num_labels": 3}
    assert model_class(load_model(bert), "TOKEN_CLS").keywords == {"num_labels": 2}
    assert model_class(load_model(bert), "QUESTION_ANS").keywords == {}


def test_an_image_classifier_stays_one():
    assert model_class(load_model("google/vit-base-patch16-224"), "SEQ_CLS").name == "AutoModelForImageClassification"


@pytest.mark.parametrize("labels", [0, -1, 10**9])
def test_a_number_of_labels_that_no_model_has_is_refused(labels):
    with pytest.raises(ValueError, match="num_labels"):
        model_class(None, "SEQ_CLS", labels)
    with pytest.raises(ValueError, match="task_type"):
        model_class(None, "SEQ_CLASS")


# What no Auto class loads --------------------------------------------------------------------------------------------

TINY = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
ODD: dict[str, tuple[dict[str, Any], str | None]] = {
    "a task that transformers has no class for": (
        {"model_type": "blip_text_model", **TINY, "vocab_size": 50, "encoder_hidden_size": 32},
        "SEQ_CLS",
    ),
    "a detector as a classifier": ({"model_type": "yolos", **TINY, "image_size": [32, 32]}, "SEQ_CLS"),
    "an endless limit of steps": (
        {"model_type": "mamba2", "num_hidden_layers": 1, "time_step_limit": [0.0, float("inf")]},
        "auto",
    ),
    "several classes, none named": ({"model_type": "deit", **TINY, "architectures": None}, "auto"),
}


@pytest.mark.parametrize("what", ODD)
def test_the_code_runs_and_prints_what_is_counted(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    config, task_type = ODD[what]
    method = LoRA(rank=2, alpha=6, targets=r".*(query|q_proj|in_proj)")
    shapes = load_model(config)
    code = method_code(method, task_type, shapes, num_labels=3 if task_type == "SEQ_CLS" else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, {})
    counted = count(shapes, method, None if task_type == "auto" else task_type, 3 if task_type == "SEQ_CLS" else None)
    printed = capsys.readouterr().out
    assert f"trainable params: {counted.trainable:,} || all params: {counted.total:,}" in printed


def test_what_is_no_number_is_written_as_python_reads_it() -> None:
    text = literal({"limit": [0.0, float("inf")], "part": {"b": float("-inf"), "c": (float("nan"), 1.5)}})
    read = eval(text)
    assert read["limit"] == [0.0, float("inf")]
    assert read["part"]["b"] == float("-inf")
    assert str(read["part"]["c"]) == "[nan, 1.5]"

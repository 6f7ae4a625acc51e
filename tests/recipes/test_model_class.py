"""The class that a script loads is the one that was counted, for every class that transformers registers."""

from __future__ import annotations

import pytest

from peftcalc.models.catalogue import catalogue_ids, catalogue_shapes
from peftcalc.models.load import load_model
from peftcalc.recipes.model_class import auto_class, model_class

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
